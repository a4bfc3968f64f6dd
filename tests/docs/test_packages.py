"""Each package says what it is for, in a place that costs nothing to import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from docs.documents import ROOT, name

# Its one function finds the SQL files that lie beside it.
_WITH_CODE = {"src/posthouse/store/migrations/__init__.py"}
_PACKAGES = sorted((ROOT / "src").rglob("__init__.py"))


@pytest.mark.parametrize("path", _PACKAGES, ids=name)
def test_a_package_says_what_it_is_for_and_imports_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    if name(path) not in _WITH_CODE:
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))) or not path.read_text("utf-8").strip()
