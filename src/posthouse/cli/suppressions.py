"""Addresses no mail is sent to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from posthouse.cli import command
from posthouse.cli.command import Answer, DataDir, Json, Limit, call, more, show

group = command.group("Addresses no mail is sent to: list, add, lift.")


@group.command("list")
def listed(
    inbox: Annotated[str | None, typer.Option(help="Of one inbox, with what is suppressed for all.")] = None,
    limit: Limit = 100,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the addresses no mail is sent to, newest first."""
    show(call(data_dir, "suppression_list", inbox=inbox, limit=limit), _lines, as_json=as_json)


def _lines(answer: Answer) -> Iterator[str]:
    for each in answer["suppressions"]:
        yield f"{each['address']}  {each['inbox'] or '(everybody)'}  {each['reason']}  {each['text'] or ''}".rstrip()
    yield from more(answer)


@group.command()
def add(
    address: str,
    reason: Annotated[str, typer.Option(help="bounce, complaint, unsubscribe, manual, or your own words.")] = "manual",
    inbox: Annotated[str | None, typer.Option(help="For one inbox; without it, for all there are or will be.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Send an address no more mail."""
    show(
        call(data_dir, "suppression_add", address=address, reason=reason, inbox=inbox),
        lambda answer: [f"No mail goes to {answer['address']} from {answer['inbox'] or 'anybody here'}."],
        as_json=as_json,
    )


@group.command()
def lift(
    address: str,
    inbox: Annotated[str | None, typer.Option(help="For one inbox; without it, for all.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Let an address be written to again."""
    show(
        call(data_dir, "suppression_lift", address=address, inbox=inbox),
        lambda answer: [f"{answer['address']} may be written to again."],
        as_json=as_json,
    )
