"""What is remembered of keys and addresses is never what they were before."""

from __future__ import annotations

from posthouse.store.database import Database, Tx
from posthouse.store.memo import Memo


async def _change(tx: Tx) -> None:
    tx.wake("things")


async def test_a_value_is_read_once_until_its_topic_is_woken(db: Database) -> None:
    memo: Memo[str, str] = Memo(db, "things", size=10)
    reads: list[str] = []

    async def read() -> str:
        reads.append("read")
        return f"value {len(reads)}"

    assert await memo.get("a", read) == "value 1"
    again = "value 1" if db.engine == "sqlite" else "value 2"  # others may write to a server's database
    assert await memo.get("a", read) == again
    await db.write(_change)
    assert await memo.get("a", read) == f"value {len(reads)}"
    assert len(reads) == (2 if db.engine == "sqlite" else 3)


async def test_what_was_read_while_it_changed_is_not_remembered(db: Database) -> None:
    memo: Memo[str, str] = Memo(db, "things", size=10)

    async def read_old() -> str:
        await db.write(_change)
        return "old"

    async def read_new() -> str:
        return "new"

    assert await memo.get("a", read_old) == "old"
    assert await memo.get("a", read_new) == "new"


async def test_that_there_is_nothing_is_not_remembered_and_the_size_is_bounded(db: Database) -> None:
    memo: Memo[int, int] = Memo(db, "things", size=2)

    async def nothing() -> None:
        return None

    async def one() -> int:
        return 1

    assert await memo.get(0, nothing) is None
    assert [await memo.get(key, one) for key in range(5)] == [1] * 5
    assert len(memo) <= 2
