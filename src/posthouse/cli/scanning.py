"""Looking at messages that are not in the house."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from posthouse.cli.command import USAGE, fail


def scan(
    outbound: Annotated[bool, typer.Option("--outbound", help="Messages to be sent: what would wait for you?")] = False,
    inbound: Annotated[bool, typer.Option("--inbound", help="Not part of this version.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Not part of this version.")] = False,
) -> None:
    """Look at messages without sending them: one JSON object a line in, one a line out."""
    if inbound + outbound + clean != 1:
        fail("say one of --outbound, --inbound, --clean", USAGE)
    if not outbound:
        fail("this version has no score for incoming mail yet", USAGE)
    from posthouse.scan.lines import scan_outbound

    scan_outbound(sys.stdin, sys.stdout)
