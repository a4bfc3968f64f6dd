"""A reader who types in what a document says, beside a real server.

`sh` blocks run in one bash, in order, in a folder where `posthouse quickstart` has made `posthouse-data`. A
`text` block right after one is what it prints; `…` in it stands for anything. `python` blocks run by
themselves in the same folder. `./dev serve` is the server that runs already.

Documents name the default ports. The server here has ports of its own, so `PORTS` says which stand for which;
that and nothing else is changed in what is run, and changed back in what is compared.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from docs.documents import Block

PORTS = {"http": "8025", "https": "8443", "smtp": "2525", "submission": "2587"}
_PATIENCE_S = 60.0
_MARK = "-- end of block"


@dataclass
class Reader:
    """Someone in a folder with a server beside it. Use it as a context."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    greeting: str = ""

    def __enter__(self) -> Reader:
        with ExitStack() as stack:
            self._errors = stack.enter_context((self.folder / "stderr.txt").open("w+b"))
            command = [sys.executable, "-m", "posthouse", "quickstart"]
            server = stack.enter_context(self._process(command, signal.SIGTERM))
            self.greeting = "".join(_until(server, lambda line: line.startswith("Listening:"), self._complain))
            listening = self.greeting.rpartition("\n\n")[2]
            self._ports = {number: PORTS[name] for name, number in re.findall(r"(\w+) on port (\d+)", listening)}
            self._shell = stack.enter_context(self._process(["bash"], signal.SIGKILL, stdin=subprocess.PIPE))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What the reader's commands see: this project's `posthouse`, and no settings but the ports."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("POSTHOUSE_", "AGENTICMAIL_"))
        }
        kept["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
        for name in ("HTTP_PORT", "SMTP_PORT", "SUBMISSION_PORT"):
            kept[f"POSTHOUSE_{name}"] = "0"
        return kept | self.settings

    @contextmanager
    def _process(
        self, command: list[str], ends_with: signal.Signals, stdin: int = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, stdin=stdin, stdout=subprocess.PIPE,
            stderr=self._errors,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.send_signal(ends_with)

    def _complain(self, what: str) -> AssertionError:
        self._errors.seek(0)
        return AssertionError(f"{what}\n{self._errors.read().decode(errors='replace')[-4000:]}")

    def run(self, block: Block, python: str = sys.executable) -> str:
        """Run one block; what it printed, with the documents' ports in it."""
        script = self.folder / ".block"
        script.write_text(self._with_our_ports(block.text), "utf-8")
        if block.language == "python":
            done = subprocess.run(
                [python, script], cwd=self.folder, env=self.environment, capture_output=True, text=True,
                timeout=_PATIENCE_S,
            )  # fmt: skip
            assert done.returncode == 0, f"line {block.line}: {done.stderr}"
            printed = done.stdout
        else:
            assert self._shell.stdin is not None
            self._shell.stdin.write(f"set -euo pipefail; . ./{script.name} </dev/null; echo; echo '{_MARK}'\n")
            self._shell.stdin.flush()
            lines = _until(self._shell, lambda line: line.startswith(_MARK), self._complain)
            printed = "".join(lines[:-1])
        self._settle()
        return self.with_documents_ports(printed)

    def _with_our_ports(self, text: str) -> str:
        ours = {theirs: number for number, theirs in self._ports.items()}
        return re.sub(r"(?<=(?:127\.0\.0\.1|localhost):)\d{4}\b", lambda found: ours[found[0]], text)

    def with_documents_ports(self, text: str) -> str:
        """What was printed, as if the server had the default ports."""
        return re.sub(r"\b\d{4,5}\b", lambda found: self._ports.get(found[0], found[0]), text)

    def _settle(self) -> None:
        """Wait until all mail under way has arrived: a person takes longer to read on than the house to file it."""
        unfinished = "SELECT (SELECT count(*) FROM spool) + (SELECT count(*) FROM delivery WHERE state = 'queued')"
        with closing(sqlite3.connect(self.folder / "posthouse-data" / "posthouse.db", timeout=_PATIENCE_S)) as database:
            ends_at = time.monotonic() + _PATIENCE_S
            while database.execute(unfinished).fetchone()[0]:
                assert time.monotonic() < ends_at, "mail is still under way"
                os.sched_yield()


def _until(
    process: subprocess.Popen[str], is_last: Callable[[str], bool], complain: Callable[[str], AssertionError]
) -> list[str]:
    lines: list[str] = []
    assert process.stdout is not None
    with _in_time(process):
        for line in process.stdout:
            lines.append(line)
            if is_last(line):
                return lines
    raise complain(f"it ended after printing: {''.join(lines)}")


@contextmanager
def _in_time(process: subprocess.Popen[str]) -> Iterator[None]:
    timer = threading.Timer(_PATIENCE_S, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def matches(expected: str, printed: str) -> bool:
    """Whether a `text` block tells what was printed; blanks at line ends and empty lines around do not count."""
    wanted, found = (_tidy(text) for text in (expected, printed))
    return re.fullmatch(re.escape(wanted).replace("…", ".*?"), found, re.DOTALL) is not None


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()
