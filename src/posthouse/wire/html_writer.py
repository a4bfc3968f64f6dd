"""Lines of text, put together piece by piece: blanks collapsed, breaks owed, quotes and indents in front."""

from __future__ import annotations

# Of the words of a link: enough to tell whether they are its target.
_MAX_PIECES = 200


class Writer:
    """Lines of text, put together piece by piece."""

    __slots__ = (
        "breaks",
        "bullet",
        "indent",
        "is_struck",
        "line",
        "line_quotes",
        "lines",
        "quotes",
        "space",
        "struck_at",
    )

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.breaks = 0  # line breaks owed before the next text
        self.space = False  # a blank owed before the next text
        self.bullet = False  # the line holds nothing but the mark of a list item
        self.quotes = 0
        self.line_quotes = 0  # of the last finished line
        self.indent = 0
        self.is_struck = False
        self.struck_at = -1  # the piece of the line that opens what is struck out in it

    def text(self, text: str) -> None:
        words = text.split()
        if not words:
            self.space = self.space or bool(text)
            return
        if self.breaks:
            self._start_line()
        elif self.line and (self.space or text[0].isspace()):
            self.line.append(" ")
        if self.is_struck and self.struck_at < 0:
            self._begin_struck()
        self.line.append(" ".join(words))
        self.bullet = False
        self.space = text[-1].isspace()

    def verbatim(self, text: str, *, keeps_blanks: bool) -> None:
        """Preformatted text: line breaks stay, and blanks where it `keeps_blanks`."""
        if not self.line and not text.strip(" \t\r\n"):
            return  # between blocks
        for index, part in enumerate(text.replace("\r\n", "\n").split("\n")):
            if index:
                self.end_line()
                self.breaks = 0
            elif self.breaks:
                self._start_line()
            if not keeps_blanks:
                self.text(part)
            elif part:
                if self.is_struck and self.struck_at < 0:
                    self._begin_struck()
                self.line.append(part)
                self.bullet = False
        self.space = False

    def plain(self, text: str) -> None:
        """Lines that are taken as they are."""
        self.end_block(1)
        self._start_line()
        self.lines += text.split("\n")

    def strike(self, is_struck: bool) -> None:
        """What follows is struck out, or no longer."""
        self._end_struck()
        self.is_struck = is_struck

    def _begin_struck(self) -> None:
        self.struck_at = len(self.line)
        self.line.append("~~")

    def _end_struck(self) -> None:
        if self.struck_at >= 0:
            self.line.append("~~")
            self.struck_at = -1

    def _start_line(self) -> None:
        if self.line:
            self.end_line()
        if self.lines and self.breaks > 1 and self.lines[-1].strip("> "):
            self.lines.append(("> " * min(self.quotes, self.line_quotes, 20)).rstrip())
        self.breaks = 0

    def end_line(self) -> None:
        self._end_struck()
        prefix = "> " * min(self.quotes, 20) + "  " * min(self.indent, 20)
        self.lines.append((prefix + "".join(self.line)).rstrip())
        self.line_quotes = self.quotes
        self.line = []
        self.space = False

    def end_block(self, breaks: int) -> None:
        """What follows begins a new line, after an empty one when `breaks` is 2."""
        if self.bullet:
            return
        if self.line:
            self.end_line()
        self.breaks = max(self.breaks, breaks)
        self.space = False

    def begin_item(self, mark: str, *, first: bool) -> None:
        """An item of a list begins; its text stands behind the mark."""
        self.end_item()
        self.end_block(1)
        if not first:
            self.breaks = 1
        self._start_line()
        self.line.append(mark)
        self.bullet = True

    def end_item(self) -> None:
        """An item without text leaves no mark."""
        if self.bullet:
            self.line.clear()
            self.bullet = False

    def since(self, lines: int, pieces: int) -> str:
        """The beginning of what was written since there were so many lines, and so many pieces in the line."""
        if len(self.lines) == lines:
            return "".join(self.line[pieces : pieces + _MAX_PIECES]).strip()
        return " ".join([*self.lines[lines : lines + _MAX_PIECES], "".join(self.line[:_MAX_PIECES])]).strip()

    def result(self) -> str:
        self.end_item()
        if self.line:
            self.end_line()
        return "\n".join(self.lines).strip("\n")
