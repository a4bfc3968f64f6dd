"""Reading address lists with their groups kept (RFC 5322 §3.4, RFC 8621 §4.1.2.4)."""

from __future__ import annotations

import re

from posthouse.wire.address import Address, clean, parse_address_list
from posthouse.wire.headers import decode_text, unfold

_STOP = re.compile(r'["(<>:;,\\]')


def parse_groups(value: str) -> list[tuple[str | None, tuple[Address, ...]]]:
    """The groups of a field in order; consecutive addresses outside any group form one without a name.

    Never raises, linear in its input.
    """
    text = unfold(value)
    groups: list[tuple[str | None, tuple[Address, ...]]] = []
    name: str | None = None
    start = position = piece = 0
    in_bracket = False

    def take(upto: int) -> None:
        addresses = parse_address_list(text[start:upto])
        if name is not None or addresses:
            groups.append((name, addresses))

    while (found := _STOP.search(text, position)) is not None:
        char, position = found.group(), found.end()
        if char == "\\":
            position += 1
        elif char == '"':
            position = _skip(text, position, '"')
        elif char == "(":
            position = _skip(text, position, ")")
        elif char in "<>":
            in_bracket = char == "<"
        elif char == "," and not in_bracket:
            piece = position
        elif char == ":" and not in_bracket and name is None:
            take(piece)
            name = clean(decode_text(text[piece : found.start()]).strip().strip('"'))
            start = piece = position
        elif char == ";" and name is not None:
            take(found.start())
            name, start, piece = None, position, position
    take(len(text))
    return groups


def _skip(text: str, position: int, end: str) -> int:
    depth = 1
    while position < len(text):
        char = text[position]
        position += 1
        if char == "\\":
            position += 1
        elif char == end:
            depth -= 1
            if depth == 0:
                break
        elif char == "(" and end == ")":
            depth += 1
    return position
