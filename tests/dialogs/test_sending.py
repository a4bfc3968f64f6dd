"""Runs the transcripts in `sending/`: what a server answers, and what becomes of each recipient.

    # the reason
    to: b@example.com c@example.com    the recipients
    RCPT: 550 5.1.1 who?               the answers to this verb, in turn, the last one for ever; a verb that is not
                                       named is answered as usual. `dot` is the end of the message, \\r\\n a line end,
                                       and CLOSE hangs up
    b@example.com: failed 5.1.1        the outcome and status of a recipient
    messages: 1                        messages that were sent, whatever the answer
    lone dots: 1                       ends without a message, when DATA had to be said before it was known

Each is run against a real socket, with and without PIPELINING on offer, and with its answers sent in different
ways; the outcome is the same. Afterwards the same courier delivers another message: it is still in step.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posthouse.outbound.courier import Parcel
from posthouse.smtp.client import SmarthostCourier
from posthouse.smtp.dialogue import Timeouts

FILES = sorted(Path(__file__).parent.glob("sending/*.smtp"))
MESSAGE = b"Subject: x\r\n\r\n.body\r\n"
ON_THE_WIRE = b"Subject: x\r\n\r\n..body\r\n"
QUICK = Timeouts(connect_s=5, greeting_s=5, command_s=5, data_s=5, done_s=5, quit_s=0.5)
# How the server speaks: whether it offers PIPELINING, and when its answers are written.
WAYS = {
    "step by step": (False, "at once"),
    "pipelined": (True, "at once"),
    "pipelined, answers in one packet": (True, "together"),
    "pipelined, answers in octets": (True, "octets"),
}


@dataclass
class Scripted:
    """A server that answers out of a transcript, once; to the next message it says what is usual."""

    script: dict[str, list[str]]
    pipelining: bool
    speaks: str
    messages: int = 0
    lone_dots: int = 0
    groups: list[list[str]] = field(default_factory=list)  # commands that came in one packet

    def _answer(self, verb: str) -> str:
        usual = {"DATA": "354 go on", "dot": "250 2.0.0 queued"}.get(verb, "250 2.0.0 ok")
        answers = self.script.get(verb)
        if not answers:
            return usual
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session."""
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        offers = b"250-relay\r\n250-PIPELINING\r\n250 SIZE\r\n" if self.pipelining else b"250-relay\r\n250 SIZE\r\n"
        writer.write(b"220 relay\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"EHLO")
        writer.write(offers)
        while packet := await reader.read(65_536):
            commands = packet.decode().split("\r\n")[:-1]
            self.groups.append([command.split(" ")[0] for command in commands])
            answers = b""
            for number, command in enumerate(commands):
                verb = command.split(" ")[0]
                if verb == "QUIT":
                    return
                if verb == "RSET":
                    self.script.clear()
                answer = self._answer(verb)
                if answer == "CLOSE":
                    writer.write(answers)
                    return
                answers += answer.replace("\\r\\n", "\r\n").encode() + b"\r\n"
                if self.speaks != "together" or number == len(commands) - 1:
                    await self._write(writer, answers)
                    answers = b""
                if verb == "DATA" and answer.startswith("3"):
                    assert number == len(commands) - 1, "nothing may follow DATA in its group: RFC 2920 §3.1"
                    if not await self._take(reader, writer):
                        return

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = []
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line)
        if lines:
            assert b"".join(lines) == ON_THE_WIRE
            self.messages += 1
        else:
            self.lone_dots += 1
        answer = self._answer("dot")
        self.script.clear()
        if answer == "CLOSE":
            return False
        await self._write(writer, answer.encode() + b"\r\n")
        return True

    async def _write(self, writer: asyncio.StreamWriter, answers: bytes) -> None:
        step = 1 if self.speaks == "octets" else len(answers)
        for at in range(0, len(answers), step):
            writer.write(answers[at : at + step])
            await writer.drain()
            if step == 1:
                await asyncio.sleep(0)


def _read(file: Path) -> tuple[list[str], dict[str, list[str]], dict[str, str]]:
    recipients: list[str] = []
    script: dict[str, list[str]] = {}
    expected: dict[str, str] = {}
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        word, _, rest = line.partition(": ")
        if word == "to":
            recipients = rest.split()
        elif word in ("MAIL", "RCPT", "DATA", "dot"):
            script.setdefault(word, []).append(rest)
        else:
            expected[word] = rest
    assert set(recipients) <= set(expected), f"{file.name}: say what becomes of everyone"
    return recipients, script, expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
async def test_sending(file: Path, way: str) -> None:
    recipients, script, expected = _read(file)
    pipelining, speaks = WAYS[way]
    server = Scripted(script, pipelining, speaks)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    courier = SmarthostCourier(f"smtp://127.0.0.1:{port}", hostname="out.example", timeouts=QUICK)
    parcel = Parcel("a@sender.example", tuple(recipients), MESSAGE, "example.com")
    try:
        results = await courier.deliver(parcel)
        got = {result.recipient: f"{result.outcome} {result.status}" for result in results}
        assert got == {recipient: expected[recipient] for recipient in recipients}
        assert server.messages == int(expected["messages"])
        assert server.lone_dots == (int(expected.get("lone dots", "0")) if pipelining else 0)
        envelope = ["MAIL", *["RCPT"] * len(recipients), "DATA"]
        if pipelining:
            assert server.groups[0] == envelope, "one round trip for all of the envelope"
        else:
            assert all(len(group) == 1 for group in server.groups)
        server.script.clear()
        again = await courier.deliver(Parcel("a@sender.example", ("z@example.com",), MESSAGE, "example.com"))
        assert [result.outcome for result in again] == ["delivered"]
        assert server.messages == int(expected["messages"]) + 1
    finally:
        await courier.aclose()
        listener.close()


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 15
