"""Runs the transcripts beside this file: one misbehaviour per file, and what the server says to it.

    # the reason
    option: max_recipients 2     a field of `SmtpConfig`; `pieces 0`: only as one packet, never in pieces
    C: MAIL FROM:<a@b.example>   sent with CRLF; lines that follow each other go in one packet
    c: no line end               sent as it stands; \\r \\n \\0 \\xHH and \\\\ are escapes, <300 x> is 300 times x
    S: 250 2.1.0                 one reply, of one or more lines: its code and the start of its first line
    closed                       the server has ended the session
    message: text                the next message that was accepted; `messages: 0` counts them
    sender: / recipients:        the envelope of the last message

The door knows everybody but `unknown*`, refuses the sender `blocked@`, and the password is `secret`.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from posthouse.wire.smtp import SmtpMachine
from posthouse.wire.smtp_events import (
    Authenticate,
    CheckRecipient,
    CheckSender,
    Close,
    Envelope,
    MessageReceived,
    SmtpConfig,
)
from posthouse.wire.smtp_replies import AUTHENTICATED, MESSAGE_OK, RECIPIENT_OK, SENDER_OK, WRONG_CREDENTIAL, Reply

FILES = sorted(Path(__file__).parent.glob("*.smtp"))
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([rn0\\]))")
_REPEAT = re.compile(r"<(\d+) (.)>")
_PLAIN = {"r": "\r", "n": "\n", "0": "\0", "\\": "\\"}


def _unescape(text: str) -> bytes:
    text = _REPEAT.sub(lambda m: m[2] * int(m[1]), text)
    out, at = b"", 0
    for match in _ESCAPE.finditer(text):
        out += text[at : match.start()].encode()
        out += bytes([int(match[1], 16)]) if match[1] else _PLAIN[match[2]].encode()
        at = match.end()
    return out + text[at:].encode()


class _Talk:
    def __init__(self, config: SmtpConfig, piece: int | None) -> None:
        self.machine = SmtpMachine(config, client_address="192.0.2.1")
        self.machine.open()
        self.piece = piece
        self.messages: list[tuple[Envelope, bytes]] = []
        self.closed = False
        self.replies: list[list[str]] = []
        self._collect()

    def send(self, data: bytes) -> None:
        step = self.piece or len(data) or 1
        for at in range(0, len(data), step):
            self.machine.feed(data[at : at + step])
            self._answer()
        self._collect()

    def _answer(self) -> None:
        while (event := self.machine.next_event()) is not None:
            if isinstance(event, Close):
                self.closed = True
                return
            if isinstance(event, CheckSender):
                blocked = event.address.startswith("blocked@")
                self.machine.answer(Reply(550, "5.7.1", "blocked") if blocked else SENDER_OK)
            elif isinstance(event, CheckRecipient):
                unknown = event.address.startswith("unknown")
                self.machine.answer(Reply(550, "5.1.1", "who?") if unknown else RECIPIENT_OK)
            elif isinstance(event, Authenticate):
                self.machine.answer(AUTHENTICATED if event.secret == "secret" else WRONG_CREDENTIAL)
            elif isinstance(event, MessageReceived):
                self.messages.append((event.envelope, event.raw))
                self.machine.answer(MESSAGE_OK)
            else:
                raise AssertionError(event)

    def _collect(self) -> None:
        output = self.machine.take_output().decode("ascii")
        assert output == "" or output.endswith("\r\n")
        reply: list[str] = []
        for line in output.split("\r\n")[:-1]:
            reply.append(line)
            if line[3] == " ":
                self.replies.append(reply)
                reply = []
        assert reply == []


@pytest.mark.parametrize("piece", [None, 1, 7], ids=["whole", "bytes", "sevens"])
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_dialog(file: Path, piece: int | None) -> None:
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    config = SmtpConfig("mx.here.example", trusts_loopback=False)
    while lines and lines[0].startswith("option: "):
        name, value = lines.pop(0).removeprefix("option: ").split()
        if name == "pieces":
            if piece is not None:
                pytest.skip("only as one packet")
            continue
        kind = type(getattr(config, name))
        config = dataclasses.replace(config, **{name: kind(int(value))})
    talk = _Talk(config, piece)
    seen, packet, counted = 0, b"", 0
    for number, line in enumerate([*lines, "end"], 1):
        where = f"{file.name}, line {number}: {line}"
        word, _, rest = line.partition(":")
        rest = rest.removeprefix(" ")
        if word in ("C", "c"):
            packet += _unescape(rest) + (b"\r\n" if word == "C" else b"")
            continue
        if packet:
            assert seen == len(talk.replies), f"unexpected reply before {where}: {talk.replies[seen:]}"
            talk.send(packet)
            packet = b""
        if word == "S":
            assert seen < len(talk.replies), f"no reply for {where}"
            got = talk.replies[seen]
            code, _, status = rest.partition(" ")
            assert got[0][:3] == code and got[0][4:].startswith(status), f"{where}\ngot {got}"
            seen += 1
        elif word == "closed":
            assert talk.closed, where
        elif word == "messages":
            assert len(talk.messages) == int(rest), where
        elif word == "message":
            assert talk.messages[counted][1] == _unescape(rest), where
            counted += 1
        elif word == "sender":
            assert talk.messages[-1][0].mail_from == rest, where
        elif word == "recipients":
            assert " ".join(r.address for r in talk.messages[-1][0].rcpt_to) == rest, where
        else:
            assert line in ("", "end"), f"not understood: {where}"
    assert seen == len(talk.replies), f"unexpected: {talk.replies[seen:]}"
    assert talk.closed == ("closed" in lines), "the session ended"


def test_there_are_dialogs() -> None:
    assert len(FILES) >= 25
