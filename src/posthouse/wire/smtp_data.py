"""Message bytes between DATA and its end: dot-stuffing, and the line ends that are an attack.

SMTP smuggling: a sender gets `LF . LF` (or a relative of it) past one server as text, and the next server
takes it for the end of the message and what follows for commands, under the first server's good name. So here
only `CRLF . CRLF` ends a message, and one that holds any look-alike is refused as a whole: it neither ends
here nor is passed on to someone who might see an end in it. A bare LF or CR elsewhere is no end, and
`canonical.py` makes it a CRLF.

Source: RFC 5321 §2.3.8, §4.1.1.4 and §4.5.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from posthouse.kit.errors import TooLarge

END: Final = b"\r\n.\r\n"

# A dot alone between any two line ends; NULs beside it do not help, since some servers drop them.
_LONE_DOT = re.compile(rb"[\r\n]\x00*\.\x00*[\r\n]")


def unstuff(stuffed: bytes) -> bytes:
    """Take away the dot a sender put before each line that starts with one (RFC 5321 §4.5.2).

    Only CRLF starts a line, as only CRLF ends one.
    """
    if stuffed.startswith(b"."):
        stuffed = stuffed[1:]
    return stuffed.replace(b"\r\n.", b"\r\n") if b"\r\n." in stuffed else stuffed


def stuff(raw: bytes) -> bytes:
    """Put a dot before each line that starts with one; the inverse of `unstuff`."""
    if raw.startswith(b"."):
        raw = b"." + raw
    return raw.replace(b"\r\n.", b"\r\n..") if b"\r\n." in raw else raw


def is_smuggling(raw: bytes) -> bool:
    """Whether some server could take a place inside the message for its end.

    Args:
        raw: the message before or after `unstuff`; both must be asked, since taking a dot away can make such
            a place (`CRLF . . LF`) and can hide one (`CRLF . LF`).
    """
    crlf = raw.count(b"\r\n")
    # The usual message has no bare line end and no NUL: three counts at memory speed, and no more.
    if raw.count(b"\n") == crlf and raw.count(b"\r") == crlf and b"\x00" not in raw:
        return False
    framed = b"\r\n" + raw + b"\r\n"  # what stands around it on the wire
    at = 0
    while found := _LONE_DOT.search(framed, at):
        if framed[found.start() - 1 : found.end() + 1] != END:
            return True
        at = found.end() - 1  # this CR may open the next one
    return False


@dataclass(frozen=True, slots=True)
class Content:
    """A message by DATA that has come to its end.

    Attributes:
        raw: dots unstuffed, line ends as they came; empty when it was not kept.
        is_too_big: over the limit.
        is_shed: thrown away on its way, see `DotReader.shed`.
        is_smuggling: see the module.
    """

    raw: bytes
    is_too_big: bool
    is_smuggling: bool
    is_shed: bool = False


class DotReader:
    """Takes one message after another out of a buffer that fills in pieces of any size.

    Args:
        max_size_bytes: largest message, dot-stuffing not counted. What is larger is swallowed, not stored, so
            that the session stays usable; but not for ever.
    """

    def __init__(self, max_size_bytes: int) -> None:
        self._max_size_bytes = max_size_bytes
        # Dot-stuffing makes at most four octets of three (`.CRLF`): above this it is too big for certain.
        self._hold_max = max_size_bytes + max_size_bytes // 3 + 64
        self._swallow_max = 4 * max_size_bytes + 1_048_576
        self._started = False
        self._scanned = 0  # this far there is no end: no byte is searched twice
        self._dropped = 0
        self._is_shed = False
        self._forget_counts()

    def _forget_counts(self) -> None:
        self._counted = 0  # up to here line ends, NULs and stuffed dots have been looked for
        self._lf = self._cr = self._crlf = 0
        self._has_nul = self._has_dot = False

    def shed(self, buffer: bytearray) -> None:
        """Keep nothing of the message on its way: it is swallowed to its end."""
        self._is_shed = True
        if self._started:
            self._drop(buffer)

    def read(self, buffer: bytearray) -> Content | None:
        """Take the message off the front of the buffer.

        Returns:
            None when its end has not come yet; what the buffer holds then stays there.

        Raises:
            TooLarge: it goes on without end.
        """
        if not self._started:
            # The line end of DATA opens an end: `DATA CRLF . CRLF` is an empty message.
            if len(buffer) < 3 and END[2:].startswith(buffer):
                return None
            if buffer.startswith(END[2:]):
                del buffer[:3]
                return Content(b"", False, False)
            self._started = True
        end = buffer.find(END, self._scanned)
        if self._dropped + (end if end >= 0 else len(buffer)) > self._swallow_max:
            raise TooLarge("the message does not end")
        if end < 0:
            if self._dropped or self._is_shed or len(buffer) > self._hold_max:
                self._drop(buffer)
            self._scanned = max(0, len(buffer) - 4)
            self._count(buffer, self._scanned)
            return None
        self._count(buffer, end + 2)
        is_plain = self._lf == self._cr == self._crlf and not self._has_nul
        with memoryview(buffer) as view:
            stuffed = b"" if self._dropped or self._is_shed else bytes(view[: end + 2])
        del buffer[: end + 5]
        raw = unstuff(stuffed) if self._has_dot or stuffed.startswith(b".") else stuffed
        is_shed = self._is_shed
        is_too_big = self._dropped > 0 or len(raw) > self._max_size_bytes
        self._started, self._scanned, self._dropped, self._is_shed = False, 0, 0, False
        self._forget_counts()
        if is_shed:
            return Content(b"", False, False, True)
        if is_too_big:
            return Content(b"", True, False)
        # The usual message has no bare line end and no NUL, nor has it when dots are taken away; that was seen as it
        # came. Without a dot taken away both are the same, and one look is enough.
        is_odd = not is_plain and (is_smuggling(stuffed) or (raw is not stuffed and is_smuggling(raw)))
        return Content(raw, False, is_odd)

    def _count(self, buffer: bytearray, end: int) -> None:
        """Count line ends up to `end`: a little with every packet, rather than all of it while others wait."""
        start = self._counted
        if end > start:
            self._lf += buffer.count(b"\n", start, end)
            self._cr += buffer.count(b"\r", start, end)
            self._crlf += buffer.count(b"\r\n", max(0, start - 1), end)
            self._has_dot = self._has_dot or buffer.find(b"\r\n.", max(0, start - 2), end) >= 0
            self._has_nul = self._has_nul or buffer.find(b"\x00", start, end) >= 0
            self._counted = end

    def _drop(self, buffer: bytearray) -> None:
        """Forget all but what may be the beginning of the end."""
        self._dropped += max(0, len(buffer) - 4)
        del buffer[:-4]
        self._scanned = self._counted = 0  # what is dropped is not looked at
