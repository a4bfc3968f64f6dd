"""Who decides on the two SMTP ports: mail from anywhere for us, and submission by our own users."""

from __future__ import annotations

from time import monotonic

from posthouse.accounts import rights
from posthouse.accounts.keys import KeyRing
from posthouse.accounts.leases import Lease, Leases
from posthouse.accounts.rights import Right
from posthouse.inbound import recipients, spool
from posthouse.inbound.spool import HandedIn, Incoming
from posthouse.kit.clock import Clock
from posthouse.kit.errors import Forbidden, NotFound, TooMany, Unauthenticated
from posthouse.kit.ids import secret_digest
from posthouse.kit.pace import Pace
from posthouse.kit.principal import Principal
from posthouse.outbound.request import Idempotency, RawMail, RecipientOptions
from posthouse.outbound.submission import Submitter
from posthouse.smtp.session import Peer, Session
from posthouse.store import accounts
from posthouse.store.blobfiles import Blobs
from posthouse.store.blobs import digest
from posthouse.store.database import Database
from posthouse.wire.address import normalize
from posthouse.wire.message import parse_headers_only
from posthouse.wire.smtp_events import Envelope
from posthouse.wire.smtp_parameters import MailParameters, RecipientParameters
from posthouse.wire.smtp_replies import RECIPIENT_OK, SENDER_OK, Reply

# Wrong credentials from one network address in this span, after which it waits.
_FAILURES = 20
_FAILURE_SPAN_S = 300.0
# The next session learns at AUTH what has become of the key.
_KEY_GONE = Reply(421, "4.7.0", "The key was revoked or has expired, sign in again")
# A mail for an inbox deleted within the moment goes to its grave like any that is on its way then.
_KNOWN_S = 1.0
_MAX_KNOWN = 10_000


class InboundDoor:
    """Port 25's side: takes mail for our accounts, relays for nobody."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        clock: Clock,
        *,
        hostname: str,
        operator_address: str,
        quota_bytes: int,
        pace: Pace | None = None,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._hostname = hostname
        self._operator = operator_address
        self._quota = quota_bytes
        self._pace = pace or Pace()
        self._known: dict[str, tuple[float, recipients.Recipient]] = {}
        db.listen("account:*", self._forget)

    def _forget(self, topic: str) -> None:
        """An account changed: it may be full now, or gone."""
        account_id = topic.removeprefix("account:")
        for address in [address for address, (_, found) in self._known.items() if found.account.id == account_id]:
            del self._known[address]

    async def connection_opened(self, peer: Peer) -> Reply | None:
        """Everybody is welcome; the server's own limits hold."""
        return None

    async def check_sender(self, session: Session, mail_from: str, params: MailParameters) -> Reply:
        """Any sender: what it claims is judged when the mail is filed."""
        return SENDER_OK

    async def check_recipient(self, session: Session, address: str, params: RecipientParameters) -> Reply:
        """One of our accounts, with room."""
        await self._resolve(address)
        return RECIPIENT_OK

    async def _resolve(self, address: str) -> recipients.Recipient:
        """Who an address leads to. What was found is believed for a moment: it is asked at RCPT and again
        when the mail is there, and for every mail of a burst."""
        now = monotonic()
        known = self._known.get(address)
        if known is not None and known[0] > now:
            return known[1]
        found = await self._db.read(
            lambda tx: recipients.resolve(tx, address, operator_address=self._operator, quota_bytes=self._quota)
        )
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[address] = (now + _KNOWN_S, found)
        return found

    async def authenticate(self, session: Session, identity: str, secret: str) -> object | None:
        """Nobody authenticates here."""
        return None

    async def receive(self, session: Session, envelope: Envelope, raw: bytes) -> Reply:
        """Spool it; the 250 comes after the commit."""
        found: dict[str, list[str]] = {}
        tight: set[str] = set()
        for recipient in envelope.rcpt_to:
            try:
                resolved = await self._resolve(recipient.address)
            except NotFound:
                continue  # gone between RCPT and the end of the data; the others still get theirs
            found.setdefault(resolved.account.id, []).append(resolved.address)
            if recipients.is_tight(resolved.account, self._quota):
                tight.add(resolved.account.id)
        if not found:
            raise NotFound("the recipients are gone")
        tls = f"{envelope.tls.version} cipher {envelope.tls.cipher}" if envelope.tls else ""
        incoming = Incoming(
            mail_from=envelope.mail_from,
            recipients=found,
            raw=raw,
            handed_in=HandedIn(
                "smtp",
                protocol=envelope.protocol,
                client_address=envelope.client_address,
                helo=envelope.helo,
                tls=tls,
            ),
            hostname=self._hostname,
        )
        try:
            with self._pace.hand_over():
                spool_id = await spool.receive(
                    self._db, self._blobs, incoming, self._clock, tight=tight, quota_bytes=self._quota
                )
        except Forbidden as error:
            if error.reason != "loop":
                raise
            return Reply(554, "5.4.6", error.message)  # RFC 3463 §3.5: a routing loop, and nobody's policy
        return Reply(250, "2.0.0", f"Ok: queued as {spool_id}")


class SubmissionDoor:
    """Port 587's side: our own users, who sign in with an address and a key, and send through the one send path."""

    def __init__(self, db: Database, keys: KeyRing, leases: Leases, submitter: Submitter, clock: Clock) -> None:
        self._db = db
        self._keys = keys
        self._leases = leases
        self._submitter = submitter
        self._clock = clock
        self._failures: dict[str, list[float]] = {}

    async def connection_opened(self, peer: Peer) -> Reply | None:
        """Nobody who has just tried a score of wrong keys."""
        if len(self._recent(peer.address)) >= _FAILURES:
            raise TooMany("too many wrong credentials from your address")
        return None

    def _recent(self, address: str) -> list[float]:
        since = monotonic() - _FAILURE_SPAN_S
        recent = [at for at in self._failures.get(address, ()) if at > since]
        if recent:
            self._failures[address] = recent
        else:
            self._failures.pop(address, None)
        return recent

    async def authenticate(self, session: Session, identity: str, secret: str) -> object | None:
        """A lease on a key that may act for this address, narrowed to that account."""
        try:
            principal = await self._keys.check(secret, self._clock())
        except Unauthenticated:
            self._failures.setdefault(session.peer.address, []).append(monotonic())
            return None
        account = await self._db.read(lambda tx: accounts.by_address(tx, normalize(identity)))
        if (
            account is None
            or account.organization_id != principal.organization_id
            or principal.account_id not in (None, account.id)
            or principal.pod_id not in (None, account.pod_id)
        ):
            self._failures.setdefault(session.peer.address, []).append(monotonic())
            return None
        return self._leases.take(
            Principal(
                organization_id=principal.organization_id,
                pod_id=account.pod_id,
                account_id=account.id,
                key_id=principal.key_id,
                surface="submission",
                rights=principal.rights,
                level=principal.level,
            )
        )

    async def check_sender(self, session: Session, mail_from: str, params: MailParameters) -> Reply:
        """A key without the right to send is told so before it sends its data."""
        try:
            principal = await _principal(session)
        except Unauthenticated:
            return _KEY_GONE
        rights.need(principal, Right.MESSAGE_SEND, "this key may not send")
        return SENDER_OK

    async def check_recipient(self, session: Session, address: str, params: RecipientParameters) -> Reply:
        """Any address; what may be sent is decided with the whole mail."""
        return RECIPIENT_OK

    async def receive(self, session: Session, envelope: Envelope, raw: bytes) -> Reply:
        """Submit. The same Message-ID to the same recipients again is the same submission."""
        try:
            principal = await _principal(session)
        except Unauthenticated:
            return _KEY_GONE
        assert principal.account_id is not None
        rcpt_to = [
            (
                recipient.address,
                RecipientOptions(",".join(sorted(recipient.parameters.notify)), recipient.parameters.orcpt),
            )
            for recipient in envelope.rcpt_to
        ]
        mail = RawMail(raw, envelope.mail_from, rcpt_to, envelope.parameters.envid, envelope.parameters.ret)
        message_id = next(
            (value.strip() for name, value in parse_headers_only(raw) if name.lower() == "message-id"), ""
        )
        once = None
        if message_id:
            named = "\n".join(sorted(normalize(address) for address, _ in rcpt_to))
            key = secret_digest(f"{principal.account_id}\n{message_id}\n{named}")
            once = Idempotency(f"smtp:{key}", "smtp", digest(raw))
        outcome = await self._submitter.submit(principal, principal.account_id, mail, once=once)
        said = "held for approval" if outcome.held else "queued"
        return Reply(250, "2.0.0", f"Ok: {said} as {outcome.submission_id}")


async def _principal(session: Session) -> Principal:
    if not isinstance(session.principal, Lease):
        raise Unauthenticated("sign in first")
    return await session.principal.check()
