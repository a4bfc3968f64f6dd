"""Numbered SQL files, applied in order, each in one transaction, forward only.

`0001_name.sql` serves both engines; `0001_name.sqlite.sql` or `.postgres.sql` follows it on that engine.
A file that has been released is never edited: a change is a new number.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import NamedTuple

from posthouse.store.statement import ddl, split_statements


class Migration(NamedTuple):
    """One number and its statements for one engine."""

    number: int
    name: str
    statements: tuple[str, ...]


def load(engine: str) -> list[Migration]:
    """All migrations for an engine, in order."""
    texts: dict[tuple[int, str], list[str]] = {}
    for entry in sorted(resources.files(__package__).iterdir(), key=lambda e: (e.name.count("."), e.name)):
        match = re.fullmatch(r"(\d{4})_(\w+)(?:\.(sqlite|postgres))?\.sql", entry.name)
        if match and match.group(3) in (None, engine):
            key = (int(match.group(1)), match.group(2))
            texts.setdefault(key, []).extend(split_statements(ddl(entry.read_text("utf-8"), engine)))
    return [Migration(number, name, tuple(texts[number, name])) for number, name in sorted(texts)]
