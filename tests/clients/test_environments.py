"""A client that cannot be had fails its test; nothing is passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients import environments


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "CACHE", tmp_path)


@pytest.mark.clients
def test_a_client_that_cannot_be_installed_is_a_failure_with_a_sentence(tmp_path: Path) -> None:
    for _ in range(2):  # what is half made is made anew
        with pytest.raises(pytest.fail.Exception, match=r"the client could not be installed: .* ended with"):
            environments.python_with(str(tmp_path / "nowhere"))
    assert list(tmp_path.rglob(".made-of")) == []


def test_a_machine_without_node_is_a_failure_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match="there is no node or no npm on this machine"):
        environments.node_with(jmap_jam="0.13.1")
