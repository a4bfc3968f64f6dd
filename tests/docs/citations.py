"""Which code obeys which section of which standard: read off the citations beside it.

`./dev index` prints the page docs/standards-index.md is; a test says when it is out of date. Sections are cited as
`RFC 5321 §4.5.3.1`, several of one document as `RFC 5321 §3.3, §4.1` or `§3.3 and §4.1`, a span as `§4.1–4.3`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from docs.documents import ROOT

PAGE = "docs/standards-index.md"
_SECTION = r"[0-9A-Z]+(?:\.[0-9A-Z]+)*"
_CITED = re.compile(
    rf"\bRFC\s+(\d{{3,5}})((?:[,;]?\s*(?:and\s+)?§§?{_SECTION}(?:\s*[–-]\s*{_SECTION})?(?:(?:,| and)\s+(?=\d){_SECTION})*)*)"
)
_ONE = re.compile(rf"{_SECTION}(?:\s*[–-]\s*{_SECTION})?")


def _named(tree: ast.Module) -> list[tuple[int, int, str]]:
    """First line, last line and dotted name of every function and class, the outer ones first."""
    found: list[tuple[int, int, str]] = []

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                found.append((first, child.end_lineno or child.lineno, prefix + child.name))
                walk(child, f"{prefix}{child.name}.")

    walk(tree, "")
    return found


def _place(names: list[tuple[int, int, str]], line: int) -> str:
    inside = [name for first, last, name in names if first <= line <= last]
    return inside[-1] if inside else ""


def citations() -> dict[tuple[int, str], set[tuple[str, str]]]:
    """(number, section; "" for the whole) → (path, name of function or class; "" for the module)."""
    found: dict[tuple[int, str], set[tuple[str, str]]] = defaultdict(set)
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = path.read_text("utf-8")
        names = _named(ast.parse(text))
        where = path.relative_to(ROOT / "src" / "posthouse").as_posix()
        for match in _CITED.finditer(text):
            place = (where, _place(names, text.count("\n", 0, match.start()) + 1))
            sections = _ONE.findall(match.group(2))
            for section in sections or [""]:
                found[int(match.group(1)), re.sub(r"\s*[–-]\s*", "–", section)].add(place)
    return found


def _order(section: str) -> list[tuple[int, str]]:
    return (
        [(int(part), "") if part.isdigit() else (10**6, part) for part in re.split(r"[.–]", section)] if section else []
    )


def page() -> str:
    """The page, as it is to be."""
    found = citations()
    lines = [
        "# Which code obeys which section",
        "",
        "Read off the citations in the code; `./dev index` writes it anew. What is supported and what is not says",
        "[standards](standards.md).",
    ]
    for number in sorted({number for number, _ in found}):
        lines += ["", f"## RFC {number}", "", "| Section | Where |", "|---|---|"]
        for section in sorted((section for n, section in found if n == number), key=_order):
            places = sorted(found[number, section])
            shown = "<br>".join(f"`{path}`" + (f" {name}" if name else "") for path, name in places)
            lines.append(f"| {'§' + section if section else 'whole'} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(ROOT / PAGE).write_text(page(), "utf-8")
