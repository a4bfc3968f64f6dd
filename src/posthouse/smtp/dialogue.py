"""A dialogue with a server from its greeting on: EHLO, STARTTLS, AUTH, one command at a time or a group of them.

Also what goes with it: how long to wait, what a lost connection means, how a reply is read. Which connections
are made is for `client.py`; mail is handed over in `transaction.py`.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from posthouse.kit.errors import Malformed
from posthouse.outbound.courier import DeliveryResult, Outcome, Parcel
from posthouse.smtp.channel import Channel
from posthouse.wire.smtp_answers import Answer, read_extensions

LONGEST_DIAGNOSTIC: Final = 500

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")  # RFC 2034 §4, RFC 3463 §2

# What a bare reply code says in RFC 3463's words, where it says more than its first digit.
_STATUS_OF_CODE = {
    421: "4.3.2", 450: "4.2.0", 451: "4.3.0", 452: "4.3.1", 454: "4.7.0", 455: "4.5.4",
    500: "5.5.2", 501: "5.5.4", 502: "5.5.1", 503: "5.5.1", 504: "5.5.4", 521: "5.3.2", 523: "5.3.4",
    530: "5.7.0", 534: "5.7.9", 535: "5.7.8", 551: "5.1.6", 552: "5.2.2", 553: "5.1.3", 555: "5.5.4",
    556: "5.1.10",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Longest waits, in seconds.

    RFC 5321 §4.5.3.2 asks for 5 minutes for greeting, MAIL and RCPT, 2 for DATA and 10 for the last reply. The
    last one stands, since giving up there means sending twice; the others are shorter, since the queue comes
    back anyway. One `deliver` may take up to `MAX_ADDRESSES` connects and one whole transaction.

    Attributes:
        connect_s: for the TCP connection to one address.
        greeting_s: for the 220, and for a TLS handshake.
        command_s: for the reply to any command but DATA.
        data_s: for the 354.
        done_s: for the reply after the last dot, on top of the time the octets need.
        quit_s: for the reply to QUIT, which changes nothing any more.
        fresh_s: a connection idle for less is used without asking whether it still lives.
    """

    connect_s: float = 30.0
    greeting_s: float = 60.0
    command_s: float = 120.0
    data_s: float = 120.0
    done_s: float = 600.0
    quit_s: float = 2.0
    fresh_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Hop:
    """One address to try."""

    host: str
    address: str
    port: int


class Setback(Exception):
    """An attempt that ended before it said anything of single recipients.

    Attributes:
        final: trying again later changes nothing.
        host: who answered, if one did.
        code: its reply code, if one came.
    """

    def __init__(
        self, status: str, text: str, *, final: bool = False, host: str | None = None, code: int | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.final = final
        self.host = host
        self.code = code

    def for_all(self, parcel: Parcel) -> list[DeliveryResult]:
        outcome: Outcome = "failed" if self.final else "deferred"
        return [
            DeliveryResult(recipient, outcome, self.status, one_line(self.text), self.host, self.code)
            for recipient in parcel.recipients
        ]


class Refused(Exception):
    """A reply that is no yes, while the session was being opened."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(reply_line(answer.code, answer.text))
        self.answer = answer


class Dialogue:
    """An open connection and what its server offers.

    Attributes:
        hop: whom it was made to.
        name: what the server calls itself, in lower case; "" before EHLO.
        sent: transactions begun.
        idle_since: the loop's time; set when it is laid by.
        in_transaction: the server may hold an envelope that RSET must clear.
    """

    def __init__(self, channel: Channel, hop: Hop, timeouts: Timeouts) -> None:
        self.hop = hop
        self.timeouts = timeouts
        self.name = ""
        self.sent = 0
        self.idle_since = 0.0
        self.in_transaction = False
        self._channel = channel
        self._offered: dict[str, str] = {}

    @property
    def usable(self) -> bool:
        """Whether it is connected and in step."""
        return self._channel.is_open

    def offers(self, extension: str) -> bool:
        """Whether the last EHLO named this keyword, in lower case."""
        return extension in self._offered

    def parameters(self, extension: str) -> str:
        """What the last EHLO said of an extension, "" for nothing."""
        return self._offered.get(extension, "")

    # Opening

    async def greet(self, hostname: str) -> None:
        """Hear the greeting and say EHLO.

        Raises:
            Refused: the server does not want us.
            Setback: the connection broke, or it is no SMTP.
        """
        self._accept(await self._listen("the greeting", self.timeouts.greeting_s))
        await self.hello(hostname)

    async def hello(self, hostname: str) -> None:
        """Say EHLO, or HELO to servers older than extensions (RFC 5321 §3.2); raises as `greet`."""
        name = hostname.encode("ascii")
        answer = await self._ask(b"EHLO " + name)
        if 500 <= answer.code < 600 and self.usable:
            answer = await self._ask(b"HELO " + name)
            self._accept(answer)
            self.name, self._offered = answer.text.partition(" ")[0].lower(), {}
            return
        self._accept(answer)
        name_said, self._offered = read_extensions(answer.text)
        self.name = name_said.lower()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """RFC 3207. EHLO is to be said again afterwards.

        Raises:
            Refused: the server will not after all; the dialogue goes on in the clear (454, §4).
            OSError: the handshake failed; the connection is gone.
            Setback: the connection broke before it.
        """
        self._accept(await self._ask(b"STARTTLS"))
        await self._channel.start_tls(context, self.hop.host, self.timeouts.greeting_s)
        self._offered = {}  # RFC 3207 §4.2: what was offered in the clear is forgotten

    async def authenticate(self, user: str, password: str) -> bool:
        """Say who we are by the first mechanism both sides know; False when there is none.

        One try only: a wrong password said three ways locks accounts.

        Raises:
            Refused: the credential is not good.
            Setback: the connection broke.
        """
        offered = self.parameters("auth").upper().split()
        if "PLAIN" in offered:
            await self._login(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()))
        elif "LOGIN" in offered:
            await self._login(b"AUTH LOGIN " + base64.b64encode(user.encode()), lambda challenge: password.encode())
        elif "CRAM-MD5" in offered:  # RFC 2195 §2
            await self._login(
                b"AUTH CRAM-MD5",
                lambda challenge: f"{user} {hmac.new(password.encode(), challenge, 'md5').hexdigest()}".encode(),
            )
        else:
            return False
        return True

    async def _login(self, command: bytes, respond: Callable[[bytes], bytes] | None = None) -> None:
        answer = await self._ask(command)
        if answer.code == 334 and respond is not None:
            try:
                challenge = base64.b64decode(answer.text)
            except ValueError as error:
                raise lost(Malformed("a challenge is base64"), "AUTH was answered", self.hop) from error
            answer = await self._ask(base64.b64encode(respond(challenge)), "AUTH")
        self._accept(answer)

    def _accept(self, answer: Answer) -> None:
        if not 200 <= answer.code < 300:
            if not 200 <= answer.code < 600:
                raise lost(Malformed("no code of a reply"), "the session was open", self.hop)
            raise Refused(answer)

    async def _ask(self, line: bytes, verb: str = "") -> Answer:
        await self.say([line])
        return await self._listen(verb or line.split(b" ")[0].decode("ascii"), self.timeouts.command_s)

    # Commands

    async def say(self, lines: Sequence[bytes]) -> None:
        """Write commands in one group; an answer to each is to be heard.

        Raises:
            Setback: the connection is gone, or out of step.
        """
        try:
            await self._channel.command(lines)
        except (Malformed, OSError) as error:
            raise lost(error, "a command was sent", self.hop) from error

    async def hear(self, verb: str, timeout_s: float | None = None, *, go_ahead: bool = False) -> Answer:
        """The answer to the next command that was said.

        Args:
            verb: that command, for the words of a setback.
            timeout_s: None for that of commands.
            go_ahead: the answer may be 3yz.

        Raises:
            Setback: the connection ended, also with 421 (RFC 5321 §3.8), or what came answers another question.
        """
        answer = await self._listen(verb, self.timeouts.command_s if timeout_s is None else timeout_s)
        code = answer.code
        if code == 421:
            raise refused_by(self.hop, code, answer.text)
        if not 400 <= code < 600 and code // 100 != (3 if go_ahead else 2):
            # Whoever answers so is not in the same dialogue as we are; going on could mean anything.
            raise Setback("4.5.0", f"{self.hop.host}: {verb} was answered with {code}", host=self.hop.host)
        return answer

    async def command(self, line: bytes, timeout_s: float | None = None) -> Answer:
        """Say one command and hear its answer; raises as both."""
        await self.say([line])
        return await self.hear(line.split(b" ")[0].decode("ascii"), timeout_s)

    async def hand_over(self, content: bytes, timeout_s: float) -> Answer:
        """Write a message with its dot, after a 354, and hear what becomes of it.

        Raises:
            Setback: nobody knows.
        """
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    await self._channel.write(content, answers=1)
                except ConnectionError as error:
                    # A server that has enough of it may say so and go; that it has taken it, it can not.
                    answer = await self._channel.answer()
                    if answer.code < 400:
                        raise error
                    return answer
                return await self._channel.answer()
        except (Malformed, OSError) as error:
            raise lost(error, "the message was acknowledged", self.hop) from error

    async def _listen(self, verb: str, timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._channel.answer()
        except (Malformed, OSError) as error:
            raise lost(error, f"{verb} was answered", self.hop) from error

    # Ending

    async def quit(self) -> None:
        """Say goodbye and close, whatever the other side does (RFC 5321 §4.1.1.10)."""
        try:
            await self.say([b"QUIT"])
            await self._listen("QUIT", self.timeouts.quit_s)
        except Setback:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close without a word."""
        self._channel.close()


def refused_by(hop: Hop, code: int, text: str) -> Setback:
    outcome, status = outcome_of(code, text)
    return Setback(status, reply_line(code, text), final=outcome == "failed", host=hop.host, code=code)


def lost(exc: Exception, before: str, hop: Hop) -> Setback:
    """A connection that ended before something happened."""
    if isinstance(exc, Malformed):
        return Setback("4.5.0", f"{hop.host}: a reply that is not SMTP before {before}", host=hop.host)
    if isinstance(exc, TimeoutError):
        return Setback("4.4.2", f"{hop.host}: time ran out before {before}", host=hop.host)
    cause = exc.__cause__ or exc
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Setback("4.7.5", f"{hop.host}: its TLS certificate is not trusted", host=hop.host)
    if isinstance(cause, ssl.SSLError):
        return Setback("4.7.5", f"{hop.host}: TLS failed before {before}", host=hop.host)
    return Setback("4.4.2", f"{hop.host}: the connection was lost before {before}", host=hop.host)


def outcome_of(code: int, text: str) -> tuple[Outcome, str]:
    """What a reply means and its enhanced status: the server's if it fits the code, else derived."""
    outcome: Outcome = "delivered" if 200 <= code < 300 else "failed" if 500 <= code < 600 else "deferred"
    digit = {"delivered": "2", "deferred": "4", "failed": "5"}[outcome]
    enhanced = _ENHANCED.match(text)
    if enhanced is not None and enhanced[1] == digit:
        return outcome, ".".join(str(int(part)) for part in enhanced.groups())
    # A code of no known class, or one that asks us to go on, is no answer here: a protocol error (X.5.0).
    answers = 200 <= code < 300 or 400 <= code < 600
    return outcome, _STATUS_OF_CODE.get(code, f"{digit}.0.0" if answers else "4.5.0")


def reply_line(code: int, text: str) -> str:
    """A reply on one line; the enhanced code that each line of it repeats is said once (RFC 2034 §4)."""
    first, *rest = text.split("\n")
    return one_line(" ".join([str(code), first, *(_ENHANCED.sub("", line, count=1) for line in rest)]))


def one_line(text: str) -> str:
    """A stranger's words fit for logs and reports: one line, no controls, no direction marks, not too long."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())[:LONGEST_DIAGNOSTIC]
