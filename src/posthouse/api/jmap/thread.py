"""Thread (RFC 8621 §3)."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.api.jmap import states
from posthouse.api.jmap.calls import Call, Json
from posthouse.api.jmap.errors import MethodError
from posthouse.api.jmap.methods import Kind
from posthouse.mail import reading
from posthouse.mail.journal import THREAD
from posthouse.store.database import Tx


async def read(call: Call, ids: list[str] | None, properties: Sequence[str]) -> tuple[str, list[Json]]:
    """The threads with these ids, their messages oldest first."""
    if ids is None:
        raise MethodError("requestTooLarge", "name the threads' ids")  # RFC 8620 §5.1

    async def unit(tx: Tx) -> tuple[str, dict[str, list[str]]]:
        return (
            await states.current(tx, call.account_id, THREAD),
            await reading.members(tx, call.account_id, ids),
        )

    state, found = await call.services.db.read(unit)
    shown = [{"id": id_, "emailIds": found[id_]} for id_ in ids if id_ in found]
    return state, [{name: each[name] for name in properties} for each in shown]


KIND = Kind(name=THREAD, properties=frozenset({"id", "emailIds"}), defaults=("id", "emailIds"), read=read)
