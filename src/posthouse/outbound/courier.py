"""Who carries a message out of the queue, and what it says of each recipient afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        envelope_id: ENVID for DSN (RFC 3461 §4.4), "" for none.
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
    """

    recipient: str
    outcome: Outcome
    status: str
    diagnostic: str
    remote_mta: str | None = None
    smtp_code: int | None = None


class Courier(Protocol):
    """Carries parcels. Never raises for what a remote does: every recipient gets a result."""

    async def deliver(self, parcel: Parcel) -> Sequence[DeliveryResult]:
        """Try once, for all recipients; one result for each, in the parcel's order."""
        ...

    async def aclose(self) -> None:
        """Close idle connections."""
        ...
