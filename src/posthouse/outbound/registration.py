"""Registering without a key, with the mail that carries the code to the human."""

from __future__ import annotations

from posthouse.accounts import signup
from posthouse.accounts.signup import Registered
from posthouse.kit import log
from posthouse.kit.clock import Clock
from posthouse.kit.errors import PosthouseError
from posthouse.kit.principal import Principal
from posthouse.outbound.submission import Composition, Submitter
from posthouse.store import accounts
from posthouse.store.database import Database
from posthouse.wire.address import Address
from posthouse.wire.compose import Outgoing

_log = log.get("registration")


class Registrar:
    """Registers organisations for those who may (a door asks the setting SIGNUP first)."""

    def __init__(
        self, db: Database, submitter: Submitter, clock: Clock, *, default_domain: str, operator_address: str
    ) -> None:
        self._db = db
        self._submitter = submitter
        self._clock = clock
        self._domain = default_domain
        self._operator = operator_address

    async def register(
        self, *, human_email: Address, local_part: str, surface: str, source: str | None, referrer: str | None
    ) -> Registered:
        """Register and mail the code. Raises as `accounts.signup.register` does."""
        at = self._clock()
        made = await self._db.write(
            lambda tx: signup.register(
                tx,
                human_email=human_email.email,
                local_part=local_part,
                default_domain=self._domain,
                surface=surface,
                source=source,
                referrer=referrer,
                at=at,
            )
        )
        await self._mail(human_email, made)
        return made

    async def verify(self, principal: Principal, code: str) -> None:
        """Take the code. Raises as `accounts.signup.count_try` and `verify` do."""
        at = self._clock()
        known = await self._db.write(lambda tx: signup.count_try(tx, principal, at))
        await self._db.write(lambda tx: signup.verify(tx, known, code, at))

    async def _mail(self, human: Address, made: Registered) -> None:
        operator = await self._db.read(lambda tx: accounts.by_address(tx, self._operator))
        if operator is None:
            return
        composition = Composition(
            outgoing=Outgoing(
                from_=Address(self._operator), to=(human,), cc=(), bcc=(), reply_to=(),
                subject=f"Your code for {made.account.main_address}",
                text=(
                    f"An agent registered {made.account.main_address} and named you as its human.\n\n"
                    f"The code is {made.code}. It is good for 24 hours. Until the agent has entered it, it can\n"
                    "write to you only. If you expect no such agent, do nothing.\n"
                ),
                html=None, attachments=(), in_reply_to=None, references=(),
                headers=(("Auto-Submitted", "auto-generated"),),  # RFC 3834 §5
                message_id=None, sent_at=self._clock(),
            )
        )  # fmt: skip
        try:
            await self._submitter.submit(Principal(operator.organization_id, is_owner=True), operator.id, composition)
        except PosthouseError as error:
            # The registration stands; registering again mails a new code.
            _log.warning("the code could not be mailed", reason=error.reason or error.code)
