"""Command lines out of a buffer that fills in pieces of any size."""

from __future__ import annotations

from typing import Final

AUTH_MAX: Final = 12_288  # RFC 4954 §4: base64 of any sensible exchange

# Longer than any verb: it decides which limit holds for a line.
_VERB_MAX: Final = 16


class LineReader:
    """Takes one line after another off the front of a buffer; no byte is searched twice."""

    __slots__ = ("_dropped", "_scanned")

    def __init__(self) -> None:
        self._scanned = 0  # this far there is no end
        self._dropped = 0  # bytes of the present line thrown away for being too many

    def reset(self) -> None:
        """The buffer was emptied."""
        self._scanned = self._dropped = 0

    def is_waiting(self, buffer: bytearray) -> bool:
        """Whether the line at the front has no end yet. What is too long for any line is dropped."""
        # A bare LF ends a command too: people type into netcat, and no attack needs it (RFC 5321 §2.3.8 is
        # about the message; there it is obeyed).
        end = buffer.find(b"\n", self._scanned)
        if end >= 0:
            self._scanned = end
            return False
        if len(buffer) > AUTH_MAX:
            self._dropped += len(buffer) - _VERB_MAX
            del buffer[_VERB_MAX:]
        self._scanned = len(buffer)
        return True

    def take(self, buffer: bytearray, longest: int) -> bytes | None:
        """The line at the front, of which `is_waiting` said that it has come, without its end.

        Args:
            longest: octets with the line end; `AUTH` is always granted `AUTH_MAX`.

        Returns:
            None for one that was too long. It is gone.
        """
        end, length = self._scanned, self._dropped + self._scanned + 1
        self._scanned = self._dropped = 0
        if length > longest and (length > AUTH_MAX or buffer[:5].upper() != b"AUTH "):
            del buffer[: end + 1]
            return None
        line = bytes(buffer[: end - 1 if end and buffer[end - 1] == 13 else end])
        del buffer[: end + 1]
        return line
