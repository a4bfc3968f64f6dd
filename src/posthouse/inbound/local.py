"""The local courier: mail from one account here to another goes from the queue straight into the spool."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.accounts import domains
from posthouse.inbound import recipients
from posthouse.inbound.spool import MAX_RECEIVED, WAKE, HandedIn, Incoming, cleaned, trace
from posthouse.kit.clock import Clock
from posthouse.kit.errors import OverQuota, PosthouseError
from posthouse.kit.ids import new_id
from posthouse.outbound.courier import DeliveryResult, Parcel
from posthouse.outbound.route import Deposit
from posthouse.store import accounts, spool
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.blobs import digest
from posthouse.store.database import Database, Tx
from posthouse.store.spool import Spooled
from posthouse.wire.address import normalize


class LocalCourier:
    """Deposits parcels for accounts of this installation (`outbound.route.LocalPost`)."""

    def __init__(
        self, db: Database, blobs: Blobs, clock: Clock, *, hostname: str, operator_address: str, quota_bytes: int
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._hostname = hostname
        self._operator = operator_address
        self._quota = quota_bytes

    async def serves(self, domain: str) -> bool:
        """Whether mail for the domain stays here."""
        return await self._db.read(lambda tx: domains.is_ours(tx, domain))

    async def prepare(self, parcel: Parcel, *, caught: bool) -> Deposit:
        """Make a parcel ready; what is answered deposits it in the caller's unit."""
        at = self._clock()
        spool_id = new_id()
        data, hands = self._bytes(parcel, spool_id, at)
        if hands > MAX_RECEIVED:
            return _loop(parcel)
        blob = await self._blobs.prepare(data)

        async def deposit(tx: Tx) -> Sequence[DeliveryResult]:
            return await self._deposit(tx, parcel, blob, spool_id, at, caught=caught)

        return deposit

    async def deposit(self, tx: Tx, parcel: Parcel, at: int) -> Sequence[DeliveryResult]:
        """Deposit a small parcel made inside a unit (a report), with its bytes in the same commit."""
        spool_id = new_id()
        data, _ = self._bytes(parcel, spool_id, at)  # a report of our own: it has been through no hands
        return await self._deposit(tx, parcel, Blob(digest(data), len(data), data), spool_id, at, caught=False)

    def _bytes(self, parcel: Parcel, spool_id: str, at: int) -> tuple[bytes, int]:
        incoming = Incoming(
            mail_from=parcel.mail_from,
            recipients={"": list(parcel.recipients)},
            raw=parcel.raw,
            handed_in=HandedIn("local"),
            hostname=self._hostname,
        )
        raw, hands = cleaned(parcel.raw, self._hostname)  # canonical since it was submitted
        return trace(incoming, spool_id, at) + raw, hands

    async def _deposit(
        self, tx: Tx, parcel: Parcel, blob: Blob, spool_id: str, at: int, *, caught: bool
    ) -> list[DeliveryResult]:
        handed_in = HandedIn(
            "local",
            account_id=parcel.sender_account_id,
            organization_id=parcel.sender_organization_id,
            caught=caught,
        )
        by_account: dict[str, list[str]] = {}
        results: list[DeliveryResult] = []
        for address in parcel.recipients:
            try:
                found = await recipients.resolve(
                    tx,
                    self._operator if caught else address,
                    operator_address=self._operator,
                    quota_bytes=self._quota,
                )
                if recipients.is_tight(found.account, self._quota):
                    locked = await accounts.lock(tx, found.account.id)
                    await recipients.check_room(tx, locked or found.account, self._quota)
            except OverQuota as error:
                results.append(DeliveryResult(address, "deferred", "4.2.2", error.message))
            except PosthouseError as error:
                results.append(DeliveryResult(address, "failed", "5.1.1", error.message))
            else:
                by_account.setdefault(found.account.id, []).append(normalize(address))
                results.append(DeliveryResult(address, "delivered", "2.0.0", "caught" if caught else "deposited"))
        if by_account:
            await blob.store(tx, at)
            await spool.add(
                tx,
                [
                    Spooled(
                        id=spool_id if index == 0 else new_id(),
                        account_id=account_id,
                        blob_hash=blob.hash,
                        mail_from=parcel.mail_from,
                        recipients=addresses,
                        handed_in=handed_in.as_dict(),
                        size_bytes=blob.size_bytes,
                        received_at=at,
                        attempts=0,
                        due_at=at,
                        leased=False,
                        last_error=None,
                    )
                    for index, (account_id, addresses) in enumerate(by_account.items())
                ],
            )
            tx.wake(WAKE)
        return results


def _loop(parcel: Parcel) -> Deposit:
    results = [
        DeliveryResult(each, "failed", "5.4.6", "mail loop: too many Received headers") for each in parcel.recipients
    ]

    async def deposit(tx: Tx) -> Sequence[DeliveryResult]:
        return results

    return deposit
