"""Work in the background that failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from posthouse.cli import command
from posthouse.cli.command import Answer, DataDir, Json, call, show

group = command.group("Work in the background that failed.")


@group.command("list")
def listed(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show jobs that were given up, and those that failed and will be tried again."""
    show(call(data_dir, "jobs_list"), _lines, as_json=as_json)


def _lines(answer: Answer) -> Iterator[str]:
    for job in answer["jobs"]:
        yield f"{job['id']}  {job['kind']:14}  {job['state']:5}  {job['attempts']} tries  {job['error'] or ''}"
    if not answer["jobs"]:
        yield "No job has failed."


@group.command()
def retry(
    id: Annotated[str | None, typer.Argument(help="The job; without one all that were given up.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Try jobs again that were given up."""
    answer = call(data_dir, "jobs_retry", id=id)
    show(answer, lambda answer: [f"{len(answer['retried'])} jobs are tried again."], as_json=as_json)
