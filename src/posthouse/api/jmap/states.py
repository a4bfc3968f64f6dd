"""States: places in an account's change log, as text (RFC 8620 §1.6.4)."""

from __future__ import annotations

import re

from posthouse.mail import history
from posthouse.mail.journal import DELIVERY, EMAIL, IDENTITY, MAILBOX, SUBMISSION, THREAD, VACATION
from posthouse.store.changes import Position
from posthouse.store.database import Tx

QUOTA = "Quota"
# The types a client can be told of (RFC 8620 §7.1).
PUSHED = (EMAIL, THREAD, MAILBOX, DELIVERY, SUBMISSION, IDENTITY, VACATION, QUOTA)
# A quota's use moves with the mail, and has no log of its own.
_LOGGED_AS = {QUOTA: EMAIL}

_STATE = re.compile(r"([0-9]{1,18})(?:-([A-Za-z0-9_-]{1,255}))?")


def write(position: Position) -> str:
    """A position as a state."""
    return str(position.modseq) if position.object_id is None else f"{position.modseq}-{position.object_id}"


def read(state: str) -> Position | None:
    """A state's position; None when it is none of ours."""
    found = _STATE.fullmatch(state)
    return Position(int(found[1]), found[2]) if found else None


def logged_as(kind: str) -> str:
    """The type under which the log has a type's changes."""
    return _LOGGED_AS.get(kind, kind)


async def current(tx: Tx, account_id: str, kind: str) -> str:
    """The state of a type."""
    logged = logged_as(kind)
    return str((await history.current(tx, account_id, [logged]))[logged])


async def all_current(tx: Tx, account_id: str, kinds: tuple[str, ...] = PUSHED) -> dict[str, int]:
    """The change number of each type."""
    found = await history.current(tx, account_id, sorted({logged_as(kind) for kind in kinds}))
    return {kind: found[logged_as(kind)] for kind in kinds}
