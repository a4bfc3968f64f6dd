"""The switch that stops what leaves."""

from __future__ import annotations

from typing import Annotated

import typer

from posthouse.cli.command import Answer, DataDir, InOrganization, Json, call, show

Inbox = Annotated[str | None, typer.Argument(help="An inbox; without it, an organisation.", metavar="ADDRESS")]
Everything = Annotated[bool, typer.Option("--all", help="Everything that leaves from this installation.")]


def pause(
    inbox: Inbox = None,
    everything: Everything = False,
    listed: Annotated[bool, typer.Option("--list", help="Show what is paused.")] = False,
    reason: Annotated[str | None, typer.Option(help="Is told to whoever tries to send.")] = None,
    organization: InOrganization = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Stop what leaves: nothing new is taken, what waits in the queue waits. What comes in is kept."""
    if listed:
        show(call(data_dir, "pause_list"), _lines, as_json=as_json)
        return
    answer = call(data_dir, "pause", inbox=inbox, organization=organization, everything=everything, reason=reason)
    show(answer, lambda answer: [f"Nothing leaves from {_named(answer['paused'])} now."], as_json=as_json)


def resume(
    inbox: Inbox = None,
    everything: Everything = False,
    organization: InOrganization = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Let go on what was paused; what waited leaves."""
    answer = call(data_dir, "resume", inbox=inbox, organization=organization, everything=everything)
    show(
        answer,
        lambda answer: [
            f"Mail leaves from {_named(answer['resumed'])} again."
            if answer["was_paused"]
            else f"{_named(answer['resumed'])} was not paused."
        ],
        as_json=as_json,
    )


def _named(what: str) -> str:
    return what if "@" in what or what == "everything" else f"the organisation {what}"


def _lines(answer: Answer) -> list[str]:
    return [
        f"{_named(each['what'])}: by {each['by']} since {each['paused_at']}"
        + (f" ({each['reason']})" if each["reason"] else "")
        for each in answer["pauses"]
    ] or ["Nothing is paused."]
