"""Telling a sender what became of a mail: a delivery status notification into the account's own inbox."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.kit import log
from posthouse.outbound.courier import DeliveryResult, Parcel
from posthouse.outbound.route import LocalPost
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.wire.address import split
from posthouse.wire.compose import new_message_id
from posthouse.wire.dsn import DsnRecipient, build_dsn

_log = log.get("reports")

Outcome = tuple[Delivery, DeliveryResult]


class Reporter:
    """Writes reports and deposits them. Its mail has a null reverse-path: nothing answers it."""

    def __init__(self, local: LocalPost, hostname: str) -> None:
        self._local = local
        self._hostname = hostname

    async def report(
        self,
        tx: Tx,
        account: Account,
        submission: StoredSubmission,
        raw: bytes,
        at: int,
        *,
        failed: Sequence[Outcome],
        delayed: Sequence[Outcome],
        delivered: Sequence[Outcome],
    ) -> None:
        """Deposit one report on these outcomes, as far as the sender wants to hear of them (RFC 3461 §4.1).

        Mail with the null reverse-path names nobody to tell (RFC 5321 §4.5.5): a report itself, an automatic answer.
        """
        if not submission.mail_from:
            return
        told = [
            *(
                _recipient(delivery, result, "failed", None)
                for delivery, result in failed
                if _wants(delivery, "FAILURE")
            ),
            *(
                _recipient(delivery, result, "delayed", submission.expires_at)
                for delivery, result in delayed
                if _wants(delivery, "DELAY")
            ),
            *(
                _recipient(delivery, result, "delivered" if result.remote_mta is None else "relayed", None)
                for delivery, result in delivered
            ),
        ]
        if not told:
            return
        domain = split(account.main_address)[1]
        report = build_dsn(
            recipients=told,
            original=raw,
            to=account.main_address,
            postmaster=f"postmaster@{domain}",
            reporting_mta=self._hostname,
            message_id=new_message_id(domain),
            at=at,
            arrival_at=submission.created_at,
            envelope_id=submission.envelope_id,
            return_full=submission.dsn_return == "FULL",
        )
        parcel = Parcel(mail_from="", recipients=(account.main_address,), raw=report, domain=domain)
        results = await self._local.deposit(tx, parcel, at)
        for result in results:
            if result.outcome != "delivered":
                _log.warning("a report could not be deposited", account_id=account.id, status=result.status)


def _wants(delivery: Delivery, word: str) -> bool:
    if not delivery.notify:
        return True  # RFC 3461 §4.1: failure and, at our discretion, delay
    return word in delivery.notify.split(",")


def _recipient(
    delivery: Delivery, result: DeliveryResult, action: str, will_retry_until_at: int | None
) -> DsnRecipient:
    original = delivery.original_recipient
    return DsnRecipient(
        final_recipient=delivery.recipient,
        action=action,  # type: ignore[arg-type]
        status=result.status,
        original_recipient=original.partition(";")[2] if ";" in original else original,
        diagnostic=result.diagnostic,
        diagnostic_type="smtp" if result.smtp_code else "x-posthouse",
        remote_mta=result.remote_mta or "",
        will_retry_until_at=will_retry_until_at,
        last_attempt_at=delivery.updated_at,
    )
