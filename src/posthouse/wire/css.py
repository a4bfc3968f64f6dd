"""Style sheets and declarations, as far as they decide whether text is seen: no layout, no inheritance.

Selectors of elements, classes and ids are read, alone, in lists, and below or within one another; rules with any
other selector, and those of `@media` for some screens only, are passed over, and what they may change counts as in
doubt. All of it is bounded: a sheet that asks for more is read no further.

Follows CSS Syntax 3 §4–5, Selectors 4 §15–17 and CSS Cascade 4 §6 in that measure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# What decides whether, and in which lines, text is seen.
PROPERTIES = frozenset(
    ["display", "visibility", "opacity", "font", "font-size", "color", "background", "background-color",
     "background-image", "white-space", "text-decoration", "text-decoration-line", "overflow", "overflow-x",
     "overflow-y", "width", "max-width", "height", "max-height", "position", "left", "top", "right", "bottom",
     "text-indent", "margin", "margin-left", "margin-top", "transform", "clip", "clip-path", "mso-hide",
     "filter", "content-visibility"]
)  # fmt: skip
_MAX_STYLE_CHARS = 4_096
_MAX_SHEET_CHARS = 256 * 1024
_MAX_RULES = 2_000
_MAX_BLOCKS = 4_000
_MAX_COMPOUNDS = 5
_MAX_ANCESTORS = 60
# Comparisons of elements with selectors for one document.
_MAX_STEPS = 60_000
# Style elements and comments among which styles are looked for.
_MAX_OPENINGS = 2_000
_MAX_KNOWN = 4_096

Declaration = tuple[str, str, bool]
# An element as selectors see it: its name, its id and its classes.
Subject = tuple[str, str, frozenset[str]]

_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)


def declarations(style: str) -> tuple[Declaration, ...]:
    """The (property, value, important) of a style that matter here, in order, in lower case."""
    style = _plain(style[:_MAX_STYLE_CHARS])
    found = []
    for declaration in style.split(";"):
        key, colon, value = declaration.partition(":")
        key = key.strip()
        if colon and key in PROPERTIES:
            value, important, _ = value.partition("!important")
            found.append((key, value.strip(), bool(important)))
    return tuple(found)


def _plain(css: str) -> str:
    """In lower case, without comments and escapes (CSS Syntax 3 §4.3.2, §4.3.7)."""
    if "/*" in css:
        css = _without_comments(css)
    if "\\" in css:
        css = _ESCAPE.sub(_unescaped, css)
    return css.lower()


def _unescaped(found: re.Match[str]) -> str:
    code, char = found.groups()
    if code is None:
        return str(char)
    number = int(code, 16)
    return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"


def _without_comments(css: str) -> str:
    out, position = [], 0
    while (start := css.find("/*", position)) >= 0:
        out.append(css[position:start])
        end = css.find("*/", start + 2)
        if end < 0:  # one that is not closed goes on to the end
            return "".join(out)
        position = end + 2
    return "".join([*out, css[position:]])


# --- Sheets -----------------------------------------------------------------------------------------


class Rule(NamedTuple):
    """One selector with what it declares."""

    specificity: tuple[int, int, int]
    order: int
    subject: Subject
    above: tuple[tuple[str, Subject], ...]  # from the inside out: " " or ">", and what stands there
    declarations: tuple[Declaration, ...]


_BRACE = re.compile(r"[{}]")
_OPENING = re.compile(r"<!--|<style(?=[\s>/])", re.IGNORECASE)
_STYLE_END = re.compile(r"</style(?=[\s>/])", re.IGNORECASE)
_MEDIA = re.compile(r"""\bmedia\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""", re.IGNORECASE)
_EVERY_SCREEN = frozenset(["", "all", "screen", "only screen", "all, screen", "screen, all"])
_COMPOUND = re.compile(r"(\*|[a-z][\w-]*)?((?:[.#][\w-]+)*)")
_PART = re.compile(r"([.#])([\w-]+)")
_COMBINATOR = re.compile(r"\s*([\s>])\s*")
# Of a pointer, of the keyboard, of what is no element: such a rule says nothing of a mail as it lies there.
# Nor do those for one web client or its dark mode.
_DYNAMIC = re.compile(
    r":(?:hover|active|focus|focus-within|visited|:?before|:?after|:?selection|:[a-z-]+)|\[data-ogs[cb]\]|^\s*u\s*\+"
)
_ODD = re.compile(r":+[\w-]+(?:\([^()]*\))?|\[[^\]]*\]")
_HIDING = frozenset(
    ["display", "visibility", "opacity", "font", "font-size", "position", "left", "top", "text-indent", "clip",
     "clip-path", "height", "max-height", "mso-hide", "filter", "content-visibility"]
)  # fmt: skip


class Sheet:
    """The rules of a document's `<style>` elements."""

    __slots__ = ("_by_key", "_doubtful", "_known", "_order", "_steps", "is_sure", "looks_up", "named")

    def __init__(self, css: str = "") -> None:
        self._by_key: dict[str, list[Rule]] = {}
        self._doubtful: set[str] = set()
        self._known: dict[Subject, tuple[Rule, ...]] = {}
        self._order = 0
        self._steps = _MAX_STEPS
        self.looks_up = False  # whether some rule asks what stands above an element
        self.named: frozenset[str] = frozenset()  # the classes and ids that selectors ask for
        self.is_sure = True  # whether no rule that was passed over may paint a background
        if css:
            self._read(_plain(css[:_MAX_SHEET_CHARS]).replace("<!--", " ").replace("-->", " "))

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def _read(self, css: str, *, is_nested: bool = False) -> None:
        position = 0
        for _ in range(_MAX_BLOCKS):
            if self._order >= _MAX_RULES:
                return
            brace = css.find("{", position)
            if brace < 0:
                return
            prelude = css[position:brace].rpartition(";")[2].strip("} \t\n\r\f")  # a statement (@import) ends in `;`
            if prelude.startswith("@"):
                inner, position = _block(css, brace)
                if not is_nested and prelude.startswith("@media") and prelude[6:].strip() in _EVERY_SCREEN:
                    self._read(inner, is_nested=True)
                continue
            end = css.find("}", brace)
            end = len(css) if end < 0 else end
            body = _last_of_each(declarations(css[brace + 1 : end]))
            if body:
                self._add(prelude, body)
            position = end + 1

    def _add(self, selectors: str, body: tuple[Declaration, ...]) -> None:
        self.named = self.named.union(name for _, name in _PART.findall(selectors[:_MAX_SHEET_CHARS]))
        for selector in selectors.split(",")[:100]:
            self._order += 1
            rule = _rule(selector.strip(), self._order, body)
            if rule is not None:
                self.looks_up = self.looks_up or bool(rule.above)
                self._by_key.setdefault(_key(rule.subject), []).append(rule)
            elif not _DYNAMIC.search(selector) and self._may_matter(body):
                last = _COMBINATOR.split(_ODD.sub("", selector).replace("+", " ").replace("~", " ").strip())[-1]
                match = _COMPOUND.fullmatch(last)
                self._doubtful.add(_key(_subject(match)) if match else "*")

    def _may_matter(self, body: tuple[Declaration, ...]) -> bool:
        """Whether a rule that is passed over may show what others hide; what it paints is noted."""
        keys = {key for key, _, _ in body}
        self.is_sure = self.is_sure and keys.isdisjoint(("color", "background", "background-color", "background-image"))
        return not keys.isdisjoint(_HIDING)

    def candidates(self, element: Subject) -> tuple[Rule, ...]:
        """The rules that hold for an element such as this, some of them only where it stands in the right place."""
        found = self._known.get(element)
        if found is None:
            found = self._fitting(element)
            if len(self._known) < _MAX_KNOWN:
                self._known[element] = found
        return found

    def _fitting(self, element: Subject) -> tuple[Rule, ...]:
        name, id_, classes = element
        keys = [name, "*", *("." + each for each in classes)]
        if id_:
            keys.append("#" + id_)
        if self._doubtful and not self._doubtful.isdisjoint(keys):
            return ()
        found = [rule for key in keys for rule in self._by_key.get(key, ())]
        if not self.spend(len(found)):
            return ()
        return tuple([rule for rule in found if _fits(rule.subject, element)])

    def spend(self, steps: int) -> bool:
        """Whether so much may still be compared for this document; what is not leaves text shown."""
        self._steps -= steps
        return self._steps > 0

    def hold(self, rules: tuple[Rule, ...], above: Sequence[Subject]) -> list[Rule]:
        """Those rules that hold below the elements above, from the outside in."""
        if not self.spend(len(rules)):
            return []
        return [rule for rule in rules if not rule.above or self._stands_below(rule.above, above)]

    def _stands_below(self, wanted: tuple[tuple[str, Subject], ...], above: Sequence[Subject]) -> bool:
        """Whether the elements above are those a selector asks for; the nearest that fits is taken for each."""
        place = len(above) - 1
        lowest = max(0, len(above) - _MAX_ANCESTORS)
        for combinator, subject in wanted:
            while True:
                self._steps -= 1
                if place < lowest or self._steps < 0:
                    return False
                fits = _fits(subject, above[place])
                place -= 1
                if fits:
                    break
                if combinator == ">":
                    return False
        return True


def _last_of_each(body: tuple[Declaration, ...]) -> tuple[Declaration, ...]:
    """Of equal properties of one rule, the later counts."""
    found: dict[tuple[str, bool], Declaration] = {}
    for declaration in body:
        key, _, important = declaration
        found.pop((key, important), None)
        found[key, important] = declaration
    return tuple(found.values())


def _block(css: str, brace: int) -> tuple[str, int]:
    depth = 0
    for found in _BRACE.finditer(css, brace):
        depth += 1 if found.group() == "{" else -1
        if depth == 0:
            return css[brace + 1 : found.start()], found.end()
    return css[brace + 1 :], len(css)


def _rule(selector: str, order: int, body: tuple[Declaration, ...]) -> Rule | None:
    parts = _COMBINATOR.split(selector)
    if len(parts) > 2 * _MAX_COMPOUNDS - 1:
        return None
    subjects: list[Subject] = []
    ids = classes = names = 0
    for part in parts[::2]:
        match = _COMPOUND.fullmatch(part)
        if match is None or not part:
            return None
        ids += match.group(2).count("#")
        classes += match.group(2).count(".")
        names += match.group(1) not in (None, "*")
        subjects.append(_subject(match))
    above = tuple(zip([" " if each != ">" else ">" for each in reversed(parts[1::2])], subjects[-2::-1], strict=True))
    return Rule((ids, classes, names), order, subjects[-1], above, body)


def _subject(match: re.Match[str]) -> Subject:
    parts = _PART.findall(match.group(2))
    id_ = next((name for sign, name in parts if sign == "#"), "")
    return match.group(1) or "*", id_, frozenset(name for sign, name in parts if sign == ".")


def _key(subject: Subject) -> str:
    name, id_, classes = subject
    return f"#{id_}" if id_ else "." + next(iter(classes)) if classes else name


def _fits(wanted: Subject, element: Subject) -> bool:
    return wanted[0] in ("*", element[0]) and wanted[1] in ("", element[1]) and wanted[2] <= element[2]


def sheet_of(html: str) -> Sheet:
    """The rules of all style elements, wherever they stand; they hold for the whole document."""
    if "<style" not in html and "<style" not in html.lower():
        return _NO_SHEET
    found: list[str] = []
    position, size = 0, 0
    for _ in range(_MAX_OPENINGS):
        opening = _OPENING.search(html, position) if size < _MAX_SHEET_CHARS else None
        if opening is None:
            break
        if opening.group() == "<!--":
            end = html.find("-->", opening.end() - 2)
            if end < 0:
                break
            position = end + 3
            continue
        start = html.find(">", opening.end())
        close = None if start < 0 else _STYLE_END.search(html, start)
        media = _MEDIA.search(html, opening.end(), start) if start > 0 else None
        position = len(html) if close is None else close.end()
        if start > 0 and (media is None or "".join(media.groups("")).strip().lower() in _EVERY_SCREEN):
            css = html[start + 1 : position if close is None else close.start()]
            found.append(css)
            size += len(css)
    return Sheet("\n".join(found)) if found else _NO_SHEET


_NO_SHEET = Sheet()
