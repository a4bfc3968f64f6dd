"""The shape of the code, as figures: `./dev shape [PATH]`. Run it on two checkouts to see what a change has done.

What surfaces reach for below the core, how long functions and modules are, and the layers as text.
"""

from __future__ import annotations

import ast
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LONGEST = 10


class Function(NamedTuple):
    """A function, with its lines from its first decorator to its end, its docstring left out."""

    name: str
    lines: int


def modules(root: Path) -> Iterator[tuple[str, str, ast.Module]]:
    """Each module below a folder: its path from there, its text, what it parses to."""
    for path in sorted(root.rglob("*.py")):
        text = path.read_text("utf-8")
        yield path.relative_to(root).as_posix(), text, ast.parse(text)


def store_calls(module: ast.Module) -> list[str]:
    """The calls of functions of `store` modules, as `module.function`."""
    names = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module == "posthouse.store"
        for alias in node.names
    }
    return [
        f"{names[node.func.value.id]}.{node.func.attr}"
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in names
    ]


def imports_from(module: ast.Module, package: str) -> list[str]:
    """What a module imports of a package, as `module.name`."""
    return [
        f"{node.module}.{alias.name}"
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(f"{package}.")
        for alias in node.names
    ]


def functions(path: str, module: ast.Module) -> Iterator[Function]:
    """The functions and methods of a module."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            said = node.body[0] if ast.get_docstring(node) is not None else None
            documented = (said.end_lineno or said.lineno) - said.lineno + 1 if said is not None else 0
            yield Function(f"{path}:{node.lineno} {node.name}", (node.end_lineno or first) - first + 1 - documented)


def layers(project: Path) -> list[str]:
    """The layers of the import contract, the uppermost first."""
    settings = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    found: list[str] = next(each["layers"] for each in contracts if each["type"] == "layers")
    return found


def report(project: Path) -> Iterator[str]:
    """The figures, line by line."""
    root = project / "src" / "posthouse"
    calls: Counter[str] = Counter()
    wire: Counter[str] = Counter()
    by_module: Counter[str] = Counter()
    found: list[Function] = []
    lengths: list[tuple[int, str]] = []
    for path, text, module in modules(root):
        found += functions(path, module)
        lengths.append((text.count("\n"), path))
        if path.startswith("api/"):
            made = store_calls(module)
            calls.update(made)
            by_module[path] += len(made)
            wire.update(imports_from(module, "posthouse.wire"))
    yield f"calls of store functions from api: {sum(calls.values())}, of {len(calls)} functions"
    yield from (f"  {count:4} {path}" for path, count in by_module.most_common(_LONGEST) if count)
    yield f"imports of wire from api: {sum(wire.values())}"
    sizes = sorted(each.lines for each in found)
    p95 = sizes[int(len(sizes) * 0.95)]
    yield f"functions: {len(sizes)}, median {statistics.median(sizes):g} lines, 95 % within {p95}; the longest:"
    yield from (f"  {each.lines:4} {each.name}" for each in sorted(found, key=lambda each: -each.lines)[:_LONGEST])
    yield f"modules: {len(lengths)}, median {statistics.median(size for size, _ in lengths):g} lines; the longest:"
    yield from (f"  {size:4} {path}" for size, path in sorted(lengths, reverse=True)[:_LONGEST])
    yield "layers, each imports only what stands below it:"
    yield from (f"  {layer}" for layer in layers(project))


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1] if len(sys.argv) > 1 else "."))))
