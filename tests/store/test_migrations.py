"""Opening a database brings its schema up to date, once, and never touches one it does not know."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from posthouse.kit.errors import Unavailable
from posthouse.store import domains, migrations, secrets
from posthouse.store.database import Database, Tx
from posthouse.store.postgres import PostgresDatabase
from posthouse.store.sqlite import SqliteDatabase


class _Place:
    """Where a database lies that can be opened again and again."""

    def __init__(self, engine: str, path: Path, url: str) -> None:
        self.engine, self.path, self.url = engine, path, url

    async def open(self) -> Database:
        if self.engine == "postgres":
            return await PostgresDatabase.open(self.url, connections=2)
        return await SqliteDatabase.open(self.path)


@pytest.fixture
def place(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> _Place:
    url = str(request.getfixturevalue("new_postgres_url")) if engine == "postgres" else ""
    return _Place(engine, tmp_path / "posthouse.db", url)


async def _versions(tx: Tx) -> list[int]:
    return [row["number"] for row in await tx.all("SELECT number FROM schema_version ORDER BY number")]


async def test_a_new_database_gets_every_migration_and_opening_it_again_changes_nothing(place: _Place) -> None:
    expected = [migration.number for migration in migrations.load(place.engine)]
    for turn in range(2):
        db = await place.open()
        assert await db.read(_versions) == expected
        assert await db.write(lambda tx, turn=turn: secrets.get_or_add(tx, "s", f"v{turn}", 1)) == "v0"
        await db.close()


async def test_a_schema_that_is_newer_is_refused_and_left_alone(place: _Place) -> None:
    db = await place.open()
    await db.write(lambda tx: tx.run("INSERT INTO schema_version VALUES (9999, 'from the future')"))
    await db.close()
    for _ in range(2):
        with pytest.raises(Unavailable, match="9999"):
            await place.open()
    if place.engine == "sqlite":
        # Nothing holds the file: it can be moved, deleted, opened by the version that knows it.
        import apsw

        connection = apsw.Connection(str(place.path))
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("DELETE FROM schema_version WHERE number = 9999")
        connection.execute("COMMIT")
        connection.close()
        await (await place.open()).close()


async def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await place.open()).close()
    known = migrations.load(place.engine)
    half = migrations.Migration(known[-1].number + 1, "half", ("CREATE TABLE half (a BIGINT)", "CREATE NONSENSE"))
    monkeypatch.setattr(migrations, "load", lambda engine: [*known, half])
    with pytest.raises(Unavailable):
        await place.open()
    monkeypatch.undo()
    db = await place.open()
    assert await db.read(_versions) == [migration.number for migration in known]
    assert await db.write(lambda tx: tx.run("CREATE TABLE half (a BIGINT)")) is not None
    await db.close()


async def test_two_that_open_a_new_database_at_once_both_find_it_whole(new_postgres_url: str) -> None:
    opened = await asyncio.gather(*(PostgresDatabase.open(new_postgres_url, connections=1) for _ in range(3)))
    for db in opened:
        assert await db.read(_versions) == [migration.number for migration in migrations.load("postgres")]
        await db.close()


async def test_a_place_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await SqliteDatabase.open(tmp_path / "missing" / "posthouse.db")
    (tmp_path / "text.db").write_text("this is no database, it is a text of some length " * 50)
    with pytest.raises(Unavailable):
        await SqliteDatabase.open(tmp_path / "text.db")
    with pytest.raises(Unavailable):
        await PostgresDatabase.open(f"postgresql://nobody@/none?host={tmp_path}")


def test_migrations_are_numbered_without_gaps_and_serve_both_engines() -> None:
    for engine in ("sqlite", "postgres"):
        known = migrations.load(engine)
        assert [migration.number for migration in known] == list(range(1, len(known) + 1))
        assert all(migration.statements for migration in known)
        text = "".join(statement for migration in known for statement in migration.statements)
        assert not any(mark in text for mark in ("$text", "$json", "$blob", "$serial"))
    assert [m.name for m in migrations.load("sqlite")] == [m.name for m in migrations.load("postgres")]


async def test_domains_that_were_named_before_names_could_be_shared_keep_their_keys_and_proof(
    place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.load(place.engine)
    monkeypatch.setattr(migrations, "load", lambda engine: [each for each in known if each.number < 8])
    db = await place.open()

    async def fill(tx: Tx) -> None:
        await tx.run(
            "INSERT INTO organization (id, name, level, created_at, updated_at) VALUES ('o', 'o', 'gated', 1, 1)"
        )
        for name, owner, proved_at in (("shared.test", None, 1), ("own.test", "o", 2), ("named.test", "o", None)):
            await tx.run(
                """INSERT INTO domain (name, organization_id, status, verified_at, created_at, updated_at)
                   VALUES (:name, :owner, 'S', :at, 1, 1)""",
                name=name, owner=owner, at=proved_at,
            )  # fmt: skip
            await tx.run(
                """INSERT INTO dkim_key (domain, selector, algorithm, private_key, created_at)
                   VALUES (:name, 's', 'a', :name, 1)""",
                name=name,
            )
        await tx.run("INSERT INTO domain_check (domain, statuses, checked_at) VALUES ('own.test', '{}', 3)")

    await db.write(fill)
    await db.close()
    monkeypatch.undo()
    db = await place.open()
    assert [(each.name, each.organization_id) for each in await db.read(domains.all_proved)] == [
        ("own.test", "o"),
        ("shared.test", None),
    ]
    (key,) = await db.read(lambda tx: domains.signing_keys(tx, "own.test"))
    assert key.private_key == "own.test"
    named = await db.read(lambda tx: domains.of_organization(tx, "o", "named.test"))
    assert named is not None
    assert len(await db.read(lambda tx: domains.dkim_keys(tx, named.id))) == 1
    check = await db.read(lambda tx: domains.get_check(tx, "own.test"))
    assert check is not None
    # What belongs to a domain goes with it, as before.
    assert await db.write(lambda tx: domains.delete(tx, "o", "own.test"))
    assert await db.read(lambda tx: domains.dkim_keys(tx, "own.test")) == []
    assert await db.read(lambda tx: domains.get_check(tx, "own.test")) is None
    await db.close()
