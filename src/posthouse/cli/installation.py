"""The installation: making its folder, its schema, what is well with it, a copy of it, its text index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posthouse.cli.command import Answer, DataDir, Json, call, print_json, run, settings_of, show

if TYPE_CHECKING:
    from posthouse.accounts.installation import Initialized
    from posthouse.kit.config import Settings


def init(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Make the data folder, the organisation, the domain with its keys, and the owner's key."""
    settings = settings_of(data_dir)

    async def work() -> Any:
        from posthouse.admin import installation
        from posthouse.app import House

        house = await House.open(settings)
        try:
            return await installation.init(house)
        finally:
            await house.close()

    made = run(work())
    if as_json:
        print_json({"organization": made.organization_id, "domain": made.domain, "owner_key": made.owner_key})
        return
    say_initialized(settings, made)


def say_initialized(settings: Settings, made: Initialized) -> None:
    """Print what was made, and where the owner finds the key."""
    if made.is_new:
        print(f"Made {settings.data_dir.resolve()} for the domain {made.domain}.")
    else:
        print(f"{settings.data_dir.resolve()} is there already; nothing was changed.")
    if made.owner_key:
        print(f"Owner key: {made.owner_key}")
    elif settings.master_key:
        print("Owner key: the one in POSTHOUSE_MASTER_KEY.")
    else:
        print(f"Owner key: saved in {settings.data_dir / 'owner.key'}")


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database's schema up to date; every other command does so too."""
    settings = settings_of(data_dir)

    async def work() -> None:
        from posthouse.app import House

        await (await House.open(settings)).close()

    run(work())
    print("The schema is up to date.")


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say what is well and what is not."""
    show(call(data_dir, "doctor"), _checks, as_json=as_json)


def _checks(answer: Answer) -> Iterator[str]:
    for check in answer["checks"]:
        yield f"{'ok  ' if check['ok'] else 'LOOK'}  {check['check']}: {check['text']}"


def backup(path: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Copy everything, as of one instant, into a new folder, beside a running server or not."""
    answer = call(data_dir, "backup", path=str(Path(path).resolve()))
    show(answer, lambda answer: [f"Backed up into {answer['path']}."], as_json=as_json)


def reindex(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Build the text index anew."""
    show(call(data_dir, "reindex"), lambda answer: [f"Indexed {answer['messages']} messages."], as_json=as_json)
