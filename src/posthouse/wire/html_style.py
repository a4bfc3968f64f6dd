"""How the text of an element is shown: what its attributes and the style sheets say, and what hides it.

Where in doubt, text counts as shown: an unknown colour equals none, a size that is not understood is large enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from posthouse.wire.css import Declaration, Rule, Sheet, Subject, declarations
from posthouse.wire.html_tokens import attributes, characters

# A colour is its 24 bits, or one of these.
CLEAR, UNKNOWN = -1, -2
WHITE, BLACK = 0xFFFFFF, 0


class Look(NamedTuple):
    """What is said of one element; None where nothing is said.

    Attributes:
        gone: how the element and all within it are hidden; "" when they are not.
        is_visible: `visibility`, which elements within may undo.
        size: of the letters in CSS pixels; a negative number is a factor of the size around.
        colour: of the letters.
        ground: the background.
        lines: "pre" keeps blanks and line breaks, "breaks" keeps line breaks, "fill" keeps neither.
        is_block: begins and ends a line.
        is_struck: crossed out.
    """

    gone: str = ""
    is_visible: bool | None = None
    size: float | None = None
    colour: int | None = None
    ground: int | None = None
    lines: str | None = None
    is_block: bool | None = None
    is_struck: bool = False


PLAIN = Look()


class State(NamedTuple):
    """How text is shown at one place of a document, `Look`s of all elements around taken together."""

    is_visible: bool = True
    size: float = 16
    colour: int = BLACK
    ground: int = WHITE
    lines: str = "fill"
    is_struck: bool = False

    def within(self, look: Look, name: str) -> State:
        """The state of the text in an element."""
        size = self.size if look.size is None else look.size if look.size >= 0 else -look.size * self.size
        colour = self.colour if look.colour is None else look.colour
        if name == "a" and look.colour is None:
            colour = UNKNOWN  # links have a colour of their own
        return State(
            self.is_visible if look.is_visible is None else look.is_visible,
            size,
            colour,
            self.ground if look.ground is None else look.ground,
            self.lines if look.lines is None else look.lines,
            self.is_struck or look.is_struck,
        )

    def hides(self) -> str:
        """How text is hidden here; "" when it is shown."""
        if not self.is_visible:
            return "visibility"
        if self.size <= 1:
            return "font-size"
        if self.colour == CLEAR:
            return "transparent"
        if self.colour >= 0 and self.ground >= 0 and _are_alike(self.colour, self.ground):
            return "colour"
        return ""


# Fewer steps of 255 no eye tells apart.
_ALIKE = 6


def _are_alike(one: int, other: int) -> bool:
    return all(abs((one >> shift & 255) - (other >> shift & 255)) <= _ALIKE for shift in (0, 8, 16))


_SPEAKING_NAMES = ("font", "body")  # for these, attributes say more
_STYLE = 'style="'
_BEFORE_NAMES = ' \t\r\n\f"/'
_MAX_CACHED_CHARS = 512
_ID = re.compile(r"\bid\s*=")
_GIVEN = ("bgcolor", "background", "color", "text", "size", "hidden", "aria-hidden")
_ABOVE_ALL = (9_999, 0, 0)
_MAX_KNOWN = 4_096
# Of the steps a sheet may ask for.
_COST_OF_KIND = 20
# What is read of different style attributes in one document: their declarations, and four for each. The rest is shown.
_MAX_DECLARATIONS = 8_000
_NO_CLASSES: frozenset[str] = frozenset()

# What attributes say of the look: the style, and those that are named in `_GIVEN`.
Said = tuple[str, tuple[tuple[str, str], ...]]
_NOTHING: Said = ("", ())


class Kind(NamedTuple):
    """What all elements of one name with the same attributes share.

    Attributes:
        subject: the element as selectors see it.
        look: None where it depends on the elements around.
        ruled: the rules that hold for it in the right place.
        said: what its attributes say.
    """

    subject: Subject
    look: Look | None
    ruled: tuple[Rule, ...] = ()
    said: Said = _NOTHING


class Looks:
    """The looks of a document's elements, each kind read once."""

    __slots__ = ("_alone", "_kinds", "_known", "_left", "_looks", "sheet")

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._looks: dict[tuple[str, str], Look] = {}
        self._known: dict[tuple[str, Said, tuple[int, ...]], Look] = {}
        self._alone: dict[tuple[str, Said], Look] = {}
        self._left = _MAX_DECLARATIONS

    def alone(self, name: str, rest: str) -> Look:
        """The look of an element where no rule holds for it.

        Args:
            name: the element's.
            rest: its attributes as written.
        """
        lower = rest.lower()
        if not _tells(lower) and name not in _SPEAKING_NAMES:
            return PLAIN
        key = (name, rest)
        look = self._looks.get(key)
        if look is None:
            if self._left <= 0:
                return PLAIN
            look = self._look_alone(name, _said(name, rest, lower))
            if len(self._looks) < _MAX_KNOWN:
                self._looks[key] = look
        return look

    def kind(self, name: str, rest: str) -> Kind:
        """The kind of an element, where there is a style sheet."""
        key = (name, rest)
        found = self._kinds.get(key)
        if found is None:
            found = self._kind(name, rest)
            if len(self._kinds) < _MAX_KNOWN:
                self._kinds[key] = found
        return found

    def _kind(self, name: str, rest: str) -> Kind:
        sheet, lower = self.sheet, rest.lower()
        subject: Subject = (name, "", _NO_CLASSES)
        if not sheet.spend(_COST_OF_KIND):
            return Kind(subject, self.alone(name, rest))
        if sheet.named and ("class" in lower or _ID.search(lower) is not None):
            found = attributes(rest)
            id_ = found.get("id", "").strip().lower()
            classes = found.get("class", "").lower().split()[:50] if "class" in found else ()
            subject = (name, id_ if id_ in sheet.named else "", sheet.named.intersection(classes))
        ruled = sheet.candidates(subject)
        if not ruled:
            return Kind(subject, self.alone(name, rest))
        tells = _tells(lower) or name in _SPEAKING_NAMES
        said = _said(name, rest, lower) if tells else _NOTHING
        if any(rule.above for rule in ruled):
            return Kind(subject, None, ruled, said)
        return Kind(subject, self._look_by(name, said, ruled))

    def of(self, name: str, rest: str, above: list[Subject]) -> Look:
        """The look of an element.

        Args:
            name: the element's.
            rest: its attributes as written.
            above: the elements around it, from the outside in; empty where the sheet does not look up.
        """
        if not self.sheet:
            return self.alone(name, rest) if rest else PLAIN
        return self.placed(name, self.kind(name, rest), above)

    def placed(self, name: str, kind: Kind, above: list[Subject]) -> Look:
        """The look of an element of that name and kind below those elements."""
        if kind.look is not None:
            return kind.look
        return self._look_by(name, kind.said, self.sheet.hold(kind.ruled, above))

    def _look_by(self, name: str, said: Said, ruled: Sequence[Rule]) -> Look:
        """The look by rules and attributes."""
        key = (name, said, tuple([rule.order for rule in ruled]))
        look = self._known.get(key)
        if look is None:
            look = self._read(name, said, ruled)
            if len(self._known) < _MAX_KNOWN:
                self._known[key] = look
        return look

    def _read(self, name: str, said: Said, ruled: Sequence[Rule]) -> Look:
        if not ruled or not self.sheet.spend(sum(len(rule.declarations) for rule in ruled)):
            return self._look_alone(name, said)
        style, given = said
        inline = declarations(style) if style and self._spend(style) else ()
        # CSS Cascade 4 §6.1: the style attribute stands above every selector, `!important` above both.
        held = [
            (important, rule.specificity, rule.order, key, value)
            for rule in ruled
            for key, value, important in rule.declarations
        ]
        held += [(important, _ABOVE_ALL, index, key, value) for index, (key, value, important) in enumerate(inline)]
        rules: dict[str, str] = {}
        for _, _, _, key, value in sorted(held):
            _set(rules, key, value)
        return _look(name, rules, dict(given))

    def _look_alone(self, name: str, said: Said) -> Look:
        style, given = said
        if not style and not given:
            return PLAIN
        name = name if name == "a" or name in _SPEAKING_NAMES else ""
        look = self._alone.get((name, said))
        if look is None:
            if not self._spend(style):
                return PLAIN
            if len(style) > _MAX_CACHED_CHARS or any(len(value) > 40 for _, value in given):
                look = _look_kept.__wrapped__(name, style, given)
            else:
                look = _look_kept(name, style, given)
            self._alone[name, said] = look
        return look

    def _spend(self, style: str) -> bool:
        self._left -= 4 + style.count(";")
        return self._left > 0


def _tells(lower: str) -> bool:
    """Whether attributes, in lower case, may say something of the look."""
    return "style" in lower or "hidden" in lower or "color" in lower or "background" in lower


def _said(name: str, rest: str, lower: str) -> Said:
    """What attributes say of the look; quickly where a style in double quotes says all."""
    start = lower.find(_STYLE)
    if start >= 0 and name not in _SPEAKING_NAMES and len(lower) == len(rest):
        end = lower.find('"', start + len(_STYLE))
        before = lower[:start]
        if (
            end > 0
            and (not before or before[-1] in _BEFORE_NAMES)
            and not before.count('"') % 2
            and "'" not in before
            and not _tells(before)
            and not _tells(lower[end:])
        ):
            style = rest[start + len(_STYLE) : end]
            return characters(style), ()
    found = attributes(rest)
    return found.get("style", ""), tuple([(key, found[key]) for key in _GIVEN if key in found])


@lru_cache(maxsize=2_048)
def _look_kept(name: str, style: str, given: tuple[tuple[str, str], ...]) -> Look:
    """The look by attributes alone. Short styles come again and again, in one mail and in the next."""
    rules = _rules(declarations(style))
    return _look(name, rules, dict(given)) if rules or given else PLAIN


def _rules(inline: tuple[Declaration, ...]) -> dict[str, str]:
    """The values a style attribute sets; of two the later counts, and an important one first."""
    rules: dict[str, str] = {}
    for key, value, important in inline:
        if not important:
            _set(rules, key, value)
    for key, value, important in inline:
        if important:
            _set(rules, key, value)
    return rules


def _set(rules: dict[str, str], key: str, value: str) -> None:
    """A declaration takes effect; a shorthand sets what it stands for."""
    if key == "background":
        rules.pop("background-image", None)
        rules["background-color"] = value
    elif key == "font":
        size = next((word for word in value.replace("/", " ").split() if _is_size(word)), None)
        if size is not None:
            rules["font-size"] = size
    elif key == "overflow":
        rules["overflow-x"] = rules["overflow-y"] = value
    elif key == "text-decoration-line":
        rules["text-decoration"] = value
    elif key == "margin":
        sides = value.split()
        if sides:
            rules["margin-top"], rules["margin-left"] = sides[0], sides[-1] if len(sides) != 3 else sides[1]
    else:
        rules[key] = value


def _is_size(word: str) -> bool:
    """Whether a word of `font` is the size: a number alone is the weight."""
    return word[:1] in "0123456789." and (not word.isdigit() or word == "0")


_BLOCK_DISPLAYS = frozenset(
    ["block", "flex", "grid", "table", "table-row", "table-row-group", "table-caption", "list-item", "flow-root"]
)
_KEEPS = {"pre": "pre", "pre-wrap": "pre", "break-spaces": "pre", "pre-line": "breaks"} | dict.fromkeys(
    ("normal", "nowrap"), "fill"
)
_CLIPPED = ("hidden", "clip", "scroll", "auto")


def _look(name: str, rules: dict[str, str], given: dict[str, str]) -> Look:
    display = rules.get("display", "")
    position = rules.get("position", "")
    ground = _ground(rules, given)
    if position in ("absolute", "fixed") and ground is None:
        ground = UNKNOWN  # it may lie on anything
    colour = rules.get("color") or (given.get("color", "").lower() if name == "font" else "")
    if not colour and name == "body":
        colour = given.get("text", "").lower()
    size = _size(rules["font-size"]) if "font-size" in rules else 13 if name == "font" and "size" in given else None
    decoration = rules.get("text-decoration", "")
    shown_as = rules.get("visibility")
    return Look(
        _gone(name, rules, given),
        None if shown_as is None else shown_as not in ("hidden", "collapse"),
        size,
        _colour(colour) if colour else None,
        ground,
        _KEEPS.get(rules.get("white-space", "")),
        True if display in _BLOCK_DISPLAYS else False if display == "inline" else None,
        "line-through" in decoration,
    )


def _gone(name: str, rules: dict[str, str], given: dict[str, str]) -> str:
    """How a whole element is hidden."""
    display = rules.get("display")
    if display == "none":
        return "display"
    if "hidden" in given and display is None and given["hidden"].lower() != "until-found":
        return "hidden"  # HTML §15.3.1: a rule of the user agent, which any `display` undoes
    if given.get("aria-hidden", "").strip().lower() == "true":
        return "aria-hidden"
    # A link that is hidden from one mailer stands beside one that is drawn for it; all others see this one.
    if rules.get("mso-hide") == "all" and name != "a":
        return "mso-hide"
    if "opacity" in rules and _number(rules["opacity"]) < 0.02:
        return "transparent"
    if "filter" in rules and (faded := _FADED.search(rules["filter"])) and _number(faded[1]) < 0.02:
        return "transparent"
    if rules.get("content-visibility") == "hidden":
        return "visibility"
    keys = rules.keys()
    return ("" if _CLIPS.isdisjoint(keys) else _clipped(rules)) or ("" if _MOVES.isdisjoint(keys) else _off_page(rules))


_FADED = re.compile(r"\bopacity\(\s*([\d.]{1,12}%?)\s*\)")
_CLIPS = frozenset(["height", "max-height", "width", "max-width", "clip", "clip-path"])
_MOVES = frozenset(["position", "text-indent", "margin-left", "margin-top", "transform"])


def _clipped(rules: dict[str, str]) -> str:
    height = min(_length(rules[key]) if key in rules else 99 for key in ("height", "max-height"))
    width = min(_length(rules[key]) if key in rules else 99 for key in ("width", "max-width"))
    if height < 1 and (rules.get("overflow-y") in _CLIPPED or width < 1):
        return "no-height"
    if width < 1 and rules.get("overflow-x") in _CLIPPED:
        return "no-width"
    if width <= 1 and height <= 1 and rules.get("overflow-x") in _CLIPPED:
        return "below-a-pixel"
    if rules.get("position") in ("absolute", "fixed") and _EMPTY_RECT.match(rules.get("clip", "")):
        return "clip"
    path = rules.get("clip-path", "")
    return "clip" if path and _EMPTY_PATH.match(path) else ""


_EMPTY_RECT = re.compile(r"rect\(\s*(?:[01](?:px)?[\s,]+){3}[01](?:px)?\s*\)")
_EMPTY_PATH = re.compile(r"inset\(\s*(?:[5-9]\d|100)(?:\.\d+)?%|circle\(\s*0|polygon\(\s*0[\s,]+0\s*\)")
_FAR = 500
_MOVED = re.compile(r"translate(?:x|y|3d)?\(([^()]*)\)")


def _off_page(rules: dict[str, str]) -> str:
    if rules.get("position") in ("absolute", "fixed", "relative") and any(
        _length(rules[key]) <= -_FAR or _length(rules[key]) >= 10 * _FAR
        for key in ("left", "top", "right", "bottom")
        if key in rules
    ):
        return "off-page"
    if any(_length(rules[key]) <= -_FAR for key in ("text-indent", "margin-left", "margin-top") if key in rules):
        return "off-page"
    transform = rules.get("transform", "")
    if transform:
        if transform.replace(" ", "").startswith(("scale(0)", "scale(0,", "scalex(0)", "scaley(0)")):
            return "below-a-pixel"
        moved = _MOVED.search(transform)
        if moved is not None and any(abs(_length(each.strip())) >= 2 * _FAR for each in moved.group(1).split(",")):
            return "off-page"
    return ""


# --- Values -----------------------------------------------------------------------------------------

_LENGTH = re.compile(r"([+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))\s*([a-z]{0,4}|%)")
# CSS Values 4 §5–6. Of what a percentage is meant is not known: twice the width of a window is far away.
_PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "pc": 16, "in": 96, "cm": 37.8, "mm": 3.78, "em": 16, "rem": 16, "ex": 8,
           "ch": 8, "%": 3, "vw": 12, "vh": 8}  # fmt: skip
_LARGE_ENOUGH = 99.0


def _length(value: str) -> float:
    """A length in pixels, roughly."""
    match = _LENGTH.fullmatch(value)
    if match is None or match.group(2) not in _PIXELS:
        return _LARGE_ENOUGH
    return float(match.group(1)) * _PIXELS[match.group(2)]


def _size(value: str) -> float | None:
    """A font size in pixels; as a negative factor where it is one of the size around."""
    match = _LENGTH.fullmatch(value)
    if match is None:
        return None if value in ("inherit", "unset", "") else 16
    number, unit = float(match.group(1)), match.group(2)
    if number < 0 or (not unit and number):
        return None  # no size at all: the declaration is void
    if unit in ("em", "%") and number:
        return -number / (100 if unit == "%" else 1)
    return number * _PIXELS.get(unit, 16)


def _number(value: str) -> float:
    match = _LENGTH.fullmatch(value)
    if match is None or match.group(2) not in ("", "%"):
        return 1
    return float(match.group(1)) / (100 if match.group(2) else 1)


_NAMES = {
    "white": WHITE, "black": BLACK, "red": 0xFF0000, "lime": 0x00FF00, "blue": 0x0000FF, "yellow": 0xFFFF00,
    "gray": 0x808080, "grey": 0x808080, "silver": 0xC0C0C0, "navy": 0x000080, "green": 0x008000, "orange": 0xFFA500,
    "purple": 0x800080, "maroon": 0x800000, "teal": 0x008080, "olive": 0x808000, "aqua": 0x00FFFF, "cyan": 0x00FFFF,
    "fuchsia": 0xFF00FF, "magenta": 0xFF00FF, "snow": 0xFFFAFA, "ivory": 0xFFFFF0, "whitesmoke": 0xF5F5F5,
    "ghostwhite": 0xF8F8FF, "floralwhite": 0xFFFAF0, "lightgray": 0xD3D3D3, "lightgrey": 0xD3D3D3,
    "window": WHITE, "windowtext": BLACK, "transparent": CLEAR,
}  # fmt: skip
_HEX = re.compile(r"#?([0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})")
_RGB = re.compile(
    r"rgba?\(\s*(\d{1,3})(?:\.\d+)?[\s,]+(\d{1,3})(?:\.\d+)?[\s,]+(\d{1,3})(?:\.\d+)?(?:[\s,/]+([\d.]{1,9}%?))?\s*\)"
)


def _colour(value: str) -> int | None:
    """A colour; None where it is that of the element around."""
    if value in ("inherit", "currentcolor", "unset"):
        return None
    found = _NAMES.get(value)
    if found is not None:
        return found
    match = _HEX.fullmatch(value)
    if match is not None:
        digits = match.group(1)
        if len(digits) < 6:
            digits = "".join(each * 2 for each in digits)
        return _seen_through(int(digits[:6], 16), int(digits[6:] or "ff", 16) / 255)
    match = _RGB.fullmatch(value)
    if match is None:
        return UNKNOWN
    red, green, blue = (min(255, int(each)) for each in match.groups()[:3])
    return _seen_through(red << 16 | green << 8 | blue, _number(match.group(4) or "1"))


def _seen_through(colour: int, alpha: float) -> int:
    return colour if alpha >= 1 else CLEAR if alpha < 0.02 else UNKNOWN


_NO_COLOURS = frozenset(
    ["none", "transparent", "initial", "inherit", "unset", "repeat", "no-repeat", "repeat-x", "repeat-y", "scroll",
     "fixed", "local", "left", "right", "top", "bottom", "center", "border-box", "padding-box", "content-box"]
)  # fmt: skip


def _ground(rules: dict[str, str], given: dict[str, str]) -> int | None:
    """The background an element paints; None where what lies below is seen."""
    if rules.get("background-image", "none") not in ("none", "initial", "unset") or given.get("background"):
        return UNKNOWN
    value = rules.get("background-color")
    if value is None:
        value = given.get("bgcolor", "").strip().lower()
    if not value:
        return None
    if "url(" in value or "gradient" in value or "image" in value:
        return UNKNOWN
    whole = _colour(value)
    if whole is not None and whole != UNKNOWN:
        return None if whole == CLEAR else whole
    words = [word for word in value.replace(", ", ",").split() if word not in _NO_COLOURS]
    colours = [_colour(word) for word in words if word[:1] not in "0123456789.-+/"]
    if not colours:
        return None
    first = colours[0]
    return UNKNOWN if first is None or len(colours) > 1 else None if first == CLEAR else first


def is_hidden(rest: str) -> bool:
    """Whether a start tag alone, with these attributes, says that its element is not shown."""
    look = Looks(_NO_SHEET).of("", rest, [])
    return bool(look.gone) or look.is_visible is False or (look.size is not None and 0 <= look.size <= 1)


_NO_SHEET = Sheet()
