"""A surface says what it wants to the core: of the store and of wire it knows types, never functions.

import-linter sees modules and not the names taken from them, so that the names are looked at here. The reason is in
docs/decisions/0017-api-and-store.md.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).parents[2] / "src"
_MODULES = sorted((_SOURCE / "posthouse/api").rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(_SOURCE / "posthouse/api").as_posix()


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, functools._lru_cache_wrapper)


def _functions(path: Path, package: str) -> Iterator[str]:
    """The functions of a package's modules that a module uses, whether it calls them or hands them on."""
    modules: dict[str, Any] = {}
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(f"{package}."):
            for each in node.names:
                if node.module == package:
                    modules[each.asname or each.name] = importlib.import_module(f"{package}.{each.name}")
                elif _is_function(getattr(importlib.import_module(node.module), each.name)):
                    yield f"{node.module}.{each.name}"
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith(package))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            module = modules[node.value.id]
            if _is_function(getattr(module, node.attr)):
                yield f"{module.__name__}.{node.attr}"


@pytest.mark.parametrize("path", _MODULES, ids=_name)
def test_a_surface_uses_no_function_of_the_store(path: Path) -> None:
    assert list(_functions(path, "posthouse.store")) == []


# JMAP shows and takes header fields and bodies in the forms of RFC 5322 and RFC 2045: there is nothing between.
@pytest.mark.parametrize("path", [path for path in _MODULES if path.parent.name != "email"], ids=_name)
def test_a_surface_uses_no_function_of_wire(path: Path) -> None:
    assert list(_functions(path, "posthouse.wire")) == []


def test_functions_are_told_from_types_however_they_are_imported(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from posthouse.store import messages as rows\n"
        "from posthouse.store.messages import Message, get_many\n"
        "from posthouse.wire.address import Address, normalize\n"
        "used = [Message, rows.Person, rows.get, rows.INLINE, Address]\n"
    )
    assert sorted(_functions(module, "posthouse.store")) == [
        "posthouse.store.messages.get", "posthouse.store.messages.get_many",
    ]  # fmt: skip
    assert list(_functions(module, "posthouse.wire")) == ["posthouse.wire.address.normalize"]
