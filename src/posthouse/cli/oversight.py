"""What waits for the owner, and the owner's decisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from posthouse.cli.command import Answer, DataDir, Json, call, show


def pending(
    id: Annotated[str | None, typer.Argument(help="One of them, whole.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Whole bodies.")] = False,
    short: Annotated[bool, typer.Option("--short", help="Two lines each, without bodies.")] = False,
    after: Annotated[str | None, typer.Option(help="Go on where the page before ended.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many on a page.")] = 20,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show what waits for your decision, what waits longest first: all that would leave."""
    answer = call(data_dir, "pending", id=id, full=full, short=short, after=after, limit=limit)
    show(answer, lambda answer: _lines(answer, short=short), as_json=as_json)


def _lines(answer: Answer, *, short: bool) -> Iterator[str]:
    for hold in answer["pending"]:
        yield from _lines_of(hold, short=short)
    if answer["next"]:
        yield f"{answer['total']} wait. Go on with: posthouse pending --after {answer['next']}"


def _lines_of(hold: dict[str, Any], *, short: bool) -> list[str]:
    """A held mail for a terminal; its strings have been made safe for one."""
    if "error" in hold:
        return [f"{hold['id']}  {hold['error']}"]
    lines = [f"{hold['id']}  {hold['from']} -> {', '.join(hold['to'])}: {hold['subject']}"]
    if short:
        extra = [f"{len(hold['attachments'])} attachments"] if hold["attachments"] else []
        extra += [f"answers go to {', '.join(hold['reply_to'])}"] if hold["reply_to"] else []
        extra += [f"{hold['hidden_parts']} hidden parts"] if hold["hidden_parts"] else []
        return [*lines, "    " + "; ".join([hold["preview"], *extra])]
    for name, people in hold["header"].items():
        if people:
            lines.append(f"    {name}: {', '.join(people)}")
    lines += [f"    {name}: {value}" for name, value in hold["directing"] if name.lower() != "reply-to"]
    lines += [f"    not sent to (suppressed): {', '.join(hold['suppressed'])}"] if hold["suppressed"] else []
    lines += [f"    not before: {hold['send_at']}"] if hold["send_at"] else []
    lines += [f"    looked at: {finding.get('text', finding)}" for finding in hold["findings"]]
    lines += ["    --- text", *(f"    {line}" for line in hold["text"].split("\n"))] if hold["text"] else []
    if hold["html_text"] is not None:
        lines += ["    --- HTML", *(f"    {line}" for line in hold["html_text"].split("\n"))]
    lines += [f"    HIDDEN {part['what']}: {part['text']}" for part in hold["hidden"]]
    if hold["cut_chars"]:
        lines.append(f"    ({hold['cut_chars']} more characters: posthouse pending {hold['id']})")
    for file in hold["attachments"]:
        lines.append(f"    attached: {file['name']} ({file['type']}, {file['size']} octets, sha256 {file['sha256']})")
    lines += [f"    unclear: {defect}" for defect in hold["defects"]]
    return [*lines, f"    {hold['size']} octets, sha256 {hold['sha256']}", ""]


def approve(id: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Send the very message that was held."""
    show(call(data_dir, "approve", id=id), lambda _: ["Sent."], as_json=as_json)


def reject(
    id: str,
    reason: Annotated[str | None, typer.Option(help="Told to the agent.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Never send the message that was held."""
    show(call(data_dir, "reject", id=id, reason=reason), lambda _: ["Rejected."], as_json=as_json)
