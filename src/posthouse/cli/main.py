"""All commands in the order of `posthouse --help`, and the entry point."""

from __future__ import annotations

import gc
import os

import typer

from posthouse.cli import (
    accounts,
    events,
    installation,
    jobs,
    keys,
    levels,
    organizations,
    oversight,
    pauses,
    scanning,
    serving,
    suppressions,
)
from posthouse.cli.command import NOT_ALLOWED, NOT_FOUND, REFUSED, USAGE, fail

_COMMANDS = (
    installation.init,
    serving.serve,
    serving.quickstart,
    installation.migrate,
    installation.doctor,
    installation.backup,
    installation.reindex,
    accounts.undelete,
    oversight.pending,
    oversight.approve,
    oversight.reject,
    pauses.pause,
    pauses.resume,
    scanning.scan,
)
_GROUPS = {
    "key": keys.group,
    "jobs": jobs.group,
    "inbox": accounts.group,
    "events": events.group,
    "level": levels.group,
    "organization": organizations.group,
    "suppression": suppressions.group,
}
# Known, and not part of this version.
_NOT_BUILT = {"shell": "shell", "credit": "prepaid billing"}
_EXIT_CODES = {
    "unauthenticated": NOT_ALLOWED,
    "forbidden": NOT_ALLOWED,
    "not_found": NOT_FOUND,
    "not_built": USAGE,
}


def main() -> None:
    """Run the command line; an error of ours becomes a sentence and an exit code."""
    # Nothing made while modules are loaded is garbage: looking for it costs a tenth of the start.
    gc.disable()
    os.umask(0o077)  # what is made here is its owner's
    from posthouse.kit.errors import PosthouseError

    try:
        app()
    except PosthouseError as error:
        fail(error.message, _EXIT_CODES.get(error.code, REFUSED))
    except OSError as error:
        fail(str(error), REFUSED)


def _app() -> typer.Typer:
    made = typer.Typer(
        name="posthouse",
        help="A self-hosted post house for AI agents.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for command in _COMMANDS:
        made.command()(command)
    for name, what in _NOT_BUILT.items():
        _refuse(made, name, what)
    for name, group in _GROUPS.items():
        made.add_typer(group, name=name)
    return made


def _refuse(made: typer.Typer, name: str, what: str) -> None:
    def command(context: typer.Context) -> None:
        fail(f"this version has no {what} yet", USAGE)

    command.__doc__ = f"Not part of this version: the {what}."
    anything = {"allow_extra_args": True, "ignore_unknown_options": True}
    made.command(name, context_settings=anything, hidden=True)(command)


app = _app()
