"""Links lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import documents


@pytest.mark.parametrize("path", documents.paths(), ids=documents.name)
def test_links_lead_to_files_and_headings_that_are_there(path: Path) -> None:
    broken = []
    for target in documents.links(path.read_text("utf-8")):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in documents.anchors(there.read_text("utf-8"))):
            broken.append(target)
    assert broken == []


def test_every_document_is_linked_from_another() -> None:
    linked = {
        (path.parent / target.partition("#")[0]).resolve()
        for path in documents.paths()
        for target in documents.links(path.read_text("utf-8"))
        if "://" not in target
    }
    assert [documents.name(path) for path in documents.paths() if path not in linked and path.stem != "README"] == []


def test_decisions_are_numbered_once_and_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((documents.ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
