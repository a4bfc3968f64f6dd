"""What a door says for whoever comes without a key: register, attach a human, verify. The code goes out by mail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from posthouse.accounts import newcomers
from posthouse.accounts.newcomers import Code, Registered
from posthouse.kit import log
from posthouse.kit.clock import Clock, iso
from posthouse.kit.errors import PosthouseError
from posthouse.kit.principal import Principal
from posthouse.outbound.request import Composition
from posthouse.outbound.submission import Submitter
from posthouse.store import accounts
from posthouse.store.database import Database
from posthouse.wire.address import Address
from posthouse.wire.compose import Outgoing

_log = log.get("newcomers")

_FIRST = """\
The agent {agent} named you as its human.

The code is {code}. It is good until {until} UTC. Until the agent has entered it, it can
write to you only. If you expect no such agent, do nothing.
"""
_AGAIN = """\
Somebody registered with your address again, as the agent {agent}.

The code is {code}. It is good until {until} UTC. Entering it hands the agent's inbox to who
registered now, and every key it had before is worthless. If that is not what you want, do nothing.
"""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What became of the code for a human: `mailed`, `used_up` (no tries left), or `not_mailed` (try again).

    `expires_at` is when the code ends; asked after that, there is a new one.
    """

    outcome: Literal["mailed", "used_up", "not_mailed"]
    expires_at: int


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
        self,
        *,
        local_part: str,
        surface: str,
        human_email: Address | None = None,
        source: str | None = None,
        referrer: str | None = None,
        has_worked: bool = False,
    ) -> Registered:
        """Register, and mail the code to the human if there is one.

        Args:
            has_worked: the caller has solved a challenge, which stands for a human.

        Raises:
            As `accounts.newcomers.register` does, or `register_by_work`.
        """
        at = self._clock()
        if has_worked:
            return await self._db.write(
                lambda tx: newcomers.register_by_work(tx, local_part, surface=surface, domain=self._domain, at=at)
            )
        made = await self._db.write(
            lambda tx: newcomers.register(
                tx,
                human_email=human_email.email if human_email is not None else None,
                local_part=local_part,
                default_domain=self._domain,
                surface=surface,
                source=source,
                referrer=referrer,
                at=at,
            )
        )
        if human_email is not None and made.code is not None:
            # A claim whose code could not be mailed comes to nothing, and the next registration makes another.
            await self._invite(human_email, made.account.main_address, made.code)
        return made

    async def attach(self, principal: Principal, human_email: Address) -> Invitation:
        """Name the organisation's human and mail them the code. Raises as `accounts.newcomers.attach` does."""
        at = self._clock()
        made = await self._db.write(lambda tx: newcomers.attach(tx, principal, human_email=human_email.email, at=at))
        return await self._invite(human_email, made.agent, made.code)

    async def verify(self, principal: Principal, code: str) -> None:
        """Take the code. Raises as `accounts.newcomers.count_try` and `verify` do."""
        at = self._clock()
        known = await self._db.write(lambda tx: newcomers.count_try(tx, principal, at))
        await self._db.write(lambda tx: newcomers.verify(tx, known, code, at))

    async def _invite(self, human: Address, agent: str, code: Code) -> Invitation:
        if code.value is None:
            return Invitation("used_up", code.expires_at)
        is_mailed = await self._mail(human, agent, code.value, code)
        return Invitation("mailed" if is_mailed else "not_mailed", code.expires_at)

    async def _mail(self, human: Address, agent: str, value: str, code: Code) -> bool:
        operator = await self._db.read(lambda tx: accounts.by_address(tx, self._operator))
        if operator is None:
            return False
        until = iso(code.expires_at)[:16].replace("T", " ")
        text = _AGAIN if code.takes_over else _FIRST
        outgoing = Outgoing(
            Address(self._operator),
            # Their address alone: the name beside it would be a stranger's words in a mail of ours.
            to=(Address(human.email),),
            subject=f"Your code for {agent}",
            text=text.format(agent=agent, code=value, until=until),
            headers=(("Auto-Submitted", "auto-generated"),),  # RFC 3834 §5
        )
        composition = Composition(outgoing)
        try:
            await self._submitter.submit(Principal.house(operator.organization_id), operator.id, composition)
        except PosthouseError as error:
            # What was registered or attached stands; asking again mails the code.
            _log.warning("the code could not be mailed", reason=error.reason or error.code)
            return False
        return True
