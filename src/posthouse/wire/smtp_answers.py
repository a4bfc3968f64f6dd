"""A server's replies as a client reads them.

Source: RFC 5321 §4.2 (replies), §4.1.1.1 (the answer to EHLO), RFC 4954 §3 (its AUTH line).
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from posthouse.kit.errors import Malformed

# Far over 512 octets (RFC 5321 §4.5.3.1.5), and an end for a server that writes without one.
LINE_MAX: Final = 8_192
ANSWER_MAX: Final = 32_768

_LINE = re.compile(rb"([0-9]{3})(?:([ -])(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply, of one or more lines.

    Attributes:
        code: three digits, whichever.
        text: the lines without their codes, `\\n` between them; octets that are not UTF-8 are surrogates.
    """

    code: int
    text: str


class AnswerReader:
    """Makes replies of what a server sends, in pieces of any size.

    Attributes:
        answers: the replies that are complete and not taken yet, oldest first.
    """

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self._buffer = bytearray()
        self._code = b""  # of the reply that is not complete yet
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take in what came.

        Raises:
            Malformed: a line that is no reply, lines of one reply whose codes differ (RFC 5321 §4.2.1), or one that
                is too long. What came before it stands; nothing that follows can be trusted to be in step.
        """
        self._buffer += data
        start = 0
        while (end := self._buffer.find(b"\n", start)) >= 0:
            self._take(bytes(self._buffer[start:end]).rstrip(b" \t\r"))
            start = end + 1
        del self._buffer[:start]
        if len(self._buffer) > LINE_MAX:
            raise Malformed("a line of a reply is too long")

    def _take(self, line: bytes) -> None:
        match = _LINE.fullmatch(line)
        if match is None or len(line) > LINE_MAX:
            raise Malformed("not a line of a reply")
        code, mark, text = match.groups()
        if self._lines and code != self._code:
            raise Malformed("the lines of one reply differ in their code")
        self._code = code
        self._lines.append((text or b"").strip(b" \t"))
        self._size += len(line)
        if self._size > ANSWER_MAX:
            raise Malformed("a reply is too long")
        if mark != b"-":
            whole = b"\n".join(self._lines).decode("utf-8", "surrogateescape")
            self.answers.append(Answer(int(code), whole))
            self._lines, self._size = [], 0


def read_extensions(text: str) -> tuple[str, dict[str, str]]:
    """Read the answer to EHLO.

    Returns:
        The server's name for itself, and what it offers: keyword in lower case to parameters, "" for none.
        Mechanisms after an old server's `AUTH=` count as those after `AUTH`.
    """
    first, *rest = text.split("\n")
    offered: dict[str, str] = {}
    for line in rest:
        keyword, _, parameters = line.partition(" ")
        keyword, parameters = keyword.lower(), parameters.strip()
        if keyword.startswith("auth="):
            keyword, parameters = "auth", f"{keyword[5:]} {parameters}"
        if keyword == "auth":
            parameters = f"{offered.get('auth', '')} {parameters}".strip()
        offered[keyword] = parameters
    return first.partition(" ")[0], offered
