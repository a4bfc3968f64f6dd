"""What the documents tell people to type works, and prints what they say it prints."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

from clients.environments import python_with
from docs import documents
from docs.documents import ROOT, Block
from docs.reader import Reader, matches
from posthouse.kit.config import Settings

_RUN = ("sh", "python")
_CLIENT = "agentmail"


def _is_for_dev(block: Block) -> bool:
    return all(line.startswith("./dev ") for line in block.text.splitlines())


# `./dev` alone needs no server; its words are looked at in `test_lists.py`.
_RUNNABLE = [
    path
    for path in documents.paths()
    if any(b.language in _RUN and not _is_for_dev(b) for b in documents.blocks(path.read_text("utf-8")))
]


def _needs_client(block: Block) -> bool:
    return block.language == "python" and f"from {_CLIENT} import" in block.text


def _read_through(path: Path, folder: Path, client_python: str | None = None) -> None:
    """Type in a whole document; blocks for the published client only when there is one."""
    text = path.read_text("utf-8")
    blocks = documents.blocks(text)
    # Only where a document speaks of HTTPS is there a port for it, as with a real reader.
    settings = {"POSTHOUSE_HTTPS_PORT": "0"} if "127.0.0.1:8443" in text else {}
    with Reader(folder, settings) as reader:
        for index, block in enumerate(blocks):
            if block.language not in _RUN or (_needs_client(block) and client_python is None):
                continue
            where = f"{documents.name(path)}:{block.line}"
            if _is_for_dev(block):
                printed = reader.with_documents_ports(reader.greeting)
            else:
                printed = reader.run(block, client_python if _needs_client(block) and client_python else sys.executable)
            following = blocks[index + 1] if index + 1 < len(blocks) else None
            if following is not None and following.language == "text" and following.is_after_block:
                assert matches(following.text, printed), f"{where} prints\n{printed}\nand not\n{following.text}"


@pytest.mark.parametrize("path", _RUNNABLE, ids=documents.name)
def test_what_a_document_says_to_type_works_as_it_says(path: Path, tmp_path: Path) -> None:
    _read_through(path, tmp_path)


@pytest.fixture(scope="session")
def client_python() -> str:
    """An interpreter that has AgentMail's client; `TEST_AGENTMAIL_PYTHON` names one already there."""
    return os.environ.get("TEST_AGENTMAIL_PYTHON") or str(python_with(_CLIENT))


@pytest.mark.clients
def test_the_first_mail_works_with_the_published_client(tmp_path: Path, client_python: str) -> None:
    assert any(_needs_client(block) for block in documents.blocks(documents.read("README.md")))
    _read_through(ROOT / "README.md", tmp_path, client_python)


@pytest.mark.parametrize("path", documents.paths(), ids=documents.name)
def test_settings_shown_as_a_file_are_accepted(path: Path) -> None:
    for block in documents.blocks(path.read_text("utf-8")):
        if block.language == "toml" and "[" not in block.text.splitlines()[0]:
            Settings.of(**{key.lower(): value for key, value in tomllib.loads(block.text).items()})


@pytest.mark.parametrize("path", documents.paths(), ids=documents.name)
def test_every_block_says_what_it_is(path: Path) -> None:
    known = {*_RUN, "text", "toml", "json", "ini"}
    assert [(b.line, b.language) for b in documents.blocks(path.read_text("utf-8")) if b.language not in known] == []


def test_a_wrong_output_is_noticed() -> None:
    assert matches("a …\nb", "a 1\n2  \nb\n")
    assert not matches("a …\nb", "a 1\nc\n")
