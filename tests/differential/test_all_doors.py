"""Random operations through JMAP, AgentMail and SMTP against one simple model, on a house that is closed and opened
in between: counts, lists, labels, threads, UIDs, states and what is told of changes agree after each few steps.

A failure names its seed, its number of steps and a file with the operations so far. By hand, the first test takes them:

    DIFFERENTIAL_SEED=7 DIFFERENTIAL_STEPS=5000 pytest tests/differential -k simple_model
    DIFFERENTIAL_REPLAY=operations.json pytest tests/differential -k simple_model

`DIFFERENTIAL_EVERY` is the number of steps between two comparisons. A list that is run again may have operations
taken out: what no longer means anything is passed over, so that a long list can be made short by hand.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from differential.choosing import Choices, Op
from differential.comparing import Observer
from differential.doors import running_house
from differential.model import Account, World
from differential.operations import Operations

_NAMES = ("ann", "bob")


async def _run(
    folder: Path, database_url: str, *, seed: int, steps: int, every: int, given: list[Op] | None = None
) -> None:
    """Run operations by chance, or a list of them that is given.

    Raises:
        AssertionError: what a door shows is not what the model says.
    """
    done: list[Op] = []
    async with running_house(folder / "house", database_url) as house:
        world = World()
        for name in _NAMES:
            caller = await house.add(name)
            world.accounts[name] = Account(name, caller.address)
        operations = Operations(world, house)
        await operations.begin()
        choices = Choices(world, house.clock, random.Random(seed))
        observers = [
            Observer(world.accounts[name], house.callers[name], random.Random(f"{seed} {name}")) for name in _NAMES
        ]
        try:
            for step in range(1, steps + 1):
                op = choices.choose(step) if given is None else given[step - 1]
                done.append(op)
                await operations.perform(op)
                if step % every == 0 or op["do"] in ("restart", "wait") or step == steps:
                    for observer in observers:
                        await observer.compare()
        except BaseException as error:
            kept = folder / "operations.json"
            kept.write_text(json.dumps(done, ensure_ascii=False, indent=None).replace("}, {", "},\n{"), "utf-8")
            error.add_note(f"DIFFERENTIAL_SEED={seed} DIFFERENTIAL_STEPS={len(done)} DIFFERENTIAL_EVERY={every}")
            error.add_note(f"DIFFERENTIAL_REPLAY={kept}")
            error.add_note("the last of them:\n" + "\n".join(json.dumps(op, ensure_ascii=False) for op in done[-12:]))
            raise


async def test_all_doors_agree_with_a_simple_model(tmp_path: Path, database_url: str) -> None:
    given = os.environ.get("DIFFERENTIAL_REPLAY")
    operations = json.loads(Path(given).read_text("utf-8")) if given else None
    seed, steps, every = (
        int(os.environ.get(f"DIFFERENTIAL_{name}", default))
        for name, default in (("SEED", "1"), ("STEPS", str(len(operations or ()) or 250)), ("EVERY", "5"))
    )
    await _run(tmp_path, database_url, seed=seed, steps=steps, every=every, given=operations)


@pytest.mark.slow
async def test_all_doors_agree_for_thousands_of_steps(tmp_path: Path, database_url: str) -> None:
    await _run(tmp_path, database_url, seed=2, steps=3_000, every=20)
