"""What the commands share: settings, running, the call of the server or the opened folder, JSON or lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from posthouse.kit.config import Settings

REFUSED, USAGE, NOT_ALLOWED, NOT_FOUND = 1, 2, 3, 4

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The data folder (POSTHOUSE_DATA_DIR).")]
InOrganization = Annotated[
    str | None,
    typer.Option("--organization", help="An organisation's id or an address of it; without it, the default one."),
]
Limit = Annotated[int, typer.Option(help="Show so many.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line of standard output.")]

Answer = dict[str, Any]
# What a terminal shows of an answer, line by line.
Lines = Callable[[Answer], Iterable[str]]


def group(help: str) -> typer.Typer:
    """Commands that begin with the same word."""
    return typer.Typer(no_args_is_help=True, help=help)


def fail(message: str, code: int) -> NoReturn:
    """End with a sentence on standard error and an exit code."""
    print(f"posthouse: {message}", file=sys.stderr)
    sys.exit(code)


def settings_of(data_dir: Path | None) -> Settings:
    """The settings, with the folder named on the command line; logs are set up as the settings say."""
    from posthouse.kit import config, log

    settings = config.load({"data_dir": data_dir})
    log.configure(settings.log_level, settings.log_format)
    return settings


def run(work: Awaitable[Any]) -> Any:
    """Run a coroutine to its end on a loop of its own, and return what the coroutine returns."""
    import uvloop

    async def body() -> Any:
        return await work

    return uvloop.run(body())


def call(data_dir: Path | None, name: str, **arguments: Any) -> Answer:
    """Run an owner's command: in the server that has the folder, else here under the folder's lock."""
    settings = settings_of(data_dir)

    async def work() -> Answer:
        from posthouse import control
        from posthouse.admin.commands import COMMANDS
        from posthouse.app import House

        answer = await control.call(settings.data_dir, name, arguments)
        if answer is not None:
            return answer
        house = await House.open(settings)
        try:
            return await COMMANDS[name](house, **arguments)
        finally:
            await house.close()

    result: Answer = run(work())
    return result


def show(answer: Answer, lines: Lines, *, as_json: bool) -> None:
    """Print an answer: as one JSON object, or as lines for people."""
    if as_json:
        print_json(answer)
    else:
        for line in lines(answer):
            print(line)


def print_json(value: Answer) -> None:
    """One JSON object on one line, at once."""
    print(json.dumps(value), flush=True)


def more(answer: Answer) -> list[str]:
    """The last line of a list that was cut short."""
    return ["There are more: --limit shows them."] if answer["has_more"] else []
