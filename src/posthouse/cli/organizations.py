"""Everybody's organisations."""

from __future__ import annotations

from collections.abc import Iterator

from posthouse.cli import command
from posthouse.cli.command import Answer, DataDir, Json, Limit, call, more, show

group = command.group("Organisations, those that registered themselves too.")


@group.command("list")
def listed(limit: Limit = 100, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show all organisations, newest first."""
    show(call(data_dir, "organization_list", limit=limit), _lines, as_json=as_json)


def _lines(answer: Answer) -> Iterator[str]:
    for each in answer["organizations"]:
        human = f"  {each['human']}{'' if each['verified_at'] else ' (not verified)'}" if each["human"] else ""
        origin = "registered itself" if each["self_registered"] else "yours"
        yield f"{each['id']}  {each['level']:10}  {origin:17}  {each['inboxes']:4} inboxes  {each['name']}{human}"
    yield from more(answer)
