"""Who carries a message out of the queue, and what it says of each recipient afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Outcome = Literal["delivered", "deferred", "failed"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message for recipients that share a destination.

    Attributes:
        mail_from: the reverse-path, "" for null (RFC 5321 §4.5.5).
        recipients: the forward-paths, at least one.
        raw: the message as it goes over the wire, CRLF line ends, signed.
        domain: the recipients' domain, lower-case A-label form.
        envelope_id: ENVID for DSN (RFC 3461 §4.4), decoded, "" for none.
        dsn_return: RET (RFC 3461 §4.3): `FULL` or `HDRS`, "" for not said.
        notify: NOTIFY by recipient (RFC 3461 §4.1): `NEVER`, or words of `SUCCESS`, `FAILURE`, `DELAY` joined by
            commas; a recipient who is not there, or has "", has none.
        original_recipients: ORCPT by recipient (RFC 3461 §4.2): `type;address`, decoded.
        requires_8bit: some octet has its high bit set.
        requires_utf8: an address or a header is not ASCII (RFC 6531).
        sender_account_id: the account that submitted it; None for the house's own reports.
        sender_organization_id: the organisation of that account.
    """

    mail_from: str
    recipients: tuple[str, ...]
    raw: bytes
    domain: str
    envelope_id: str = ""
    dsn_return: str = ""
    notify: Mapping[str, str] = field(default_factory=dict)
    original_recipients: Mapping[str, str] = field(default_factory=dict)
    requires_8bit: bool = False
    requires_utf8: bool = False
    sender_account_id: str | None = None
    sender_organization_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What became of one attempt at one recipient.

    Attributes:
        recipient: as in the parcel.
        outcome: `delivered` means accepted by the next hop and no more; `deferred` is worth another try;
            `failed` is final.
        status: RFC 3463 enhanced status code, such as 5.1.1.
        diagnostic: the remote's own words or ours, one line.
        remote_mta: host name or address of the next hop that answered, if one did.
        smtp_code: its basic reply code, if one came.
        reports_success: the next hop was told what the sender wants to hear of, and sends the report of success
            itself (RFC 3461 §5.2.1).
        given_ids: names the next hop gave the message in its answer. A relay that writes a Message-ID of its own
            makes it of one of these, and answers refer to that.
    """

    recipient: str
    outcome: Outcome
    status: str
    diagnostic: str
    remote_mta: str | None = None
    smtp_code: int | None = None
    reports_success: bool = False
    given_ids: tuple[str, ...] = ()


class Courier(Protocol):
    """Carries parcels. Never raises for what a remote does: every recipient gets a result."""

    async def deliver(self, parcel: Parcel) -> Sequence[DeliveryResult]:
        """Try once, for all recipients; one result for each, in the parcel's order."""
        ...

    async def aclose(self) -> None:
        """Close idle connections."""
        ...
