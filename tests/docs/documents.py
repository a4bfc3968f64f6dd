"""The documents as data: their blocks of code, tables, links and headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `line` is where its fence stands, from 1.

    `is_after_block`: nothing but empty lines lies between it and the block before.
    """

    language: str
    text: str
    line: int
    is_after_block: bool


def paths() -> list[Path]:
    """Every document of the project."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]


def name(path: Path) -> str:
    """A document's path as people write it."""
    return path.relative_to(ROOT).as_posix()


def read(relative: str) -> str:
    """A document's text."""
    return (ROOT / relative).read_text("utf-8")


def blocks(text: str) -> list[Block]:
    """The fenced blocks, in order."""
    found, end = [], 0
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 1
        is_after_block = end > 0 and not text[end : fence.start()].strip()
        found.append(Block(fence[1], fence[2].rstrip("\n"), line, is_after_block))
        end = fence.end()
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows but heads and rules; marks of code are taken off the cells' ends."""
    lines = _FENCE.sub("", text).splitlines()
    found = []
    for index, line in enumerate(lines):
        is_head = index + 1 < len(lines) and re.fullmatch(r"\|[\s:|-]+\|", lines[index + 1])
        if line.startswith("|") and not is_head and not re.fullmatch(r"\|[\s:|-]+\|", line):
            cells = re.split(r"(?<!\\)\|", line.strip()[1:-1])
            found.append([cell.strip().replace("\\|", "|") for cell in cells])
    return found


def code(cell: str) -> str:
    """What stands in the first marks of code of a cell; "" for none."""
    found = re.search(r"`([^`]+)`", cell)
    return found[1] if found else ""


def links(text: str) -> list[str]:
    """The targets of all links outside code."""
    return _LINK.findall(_INLINE_CODE.sub("", _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """The names under which headings can be linked to, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number, anchor = 0, words
        while anchor in found:
            number += 1
            anchor = f"{words}-{number}"
        found.add(anchor)
    return found
