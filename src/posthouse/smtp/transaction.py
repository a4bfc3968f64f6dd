"""One mail transaction as the client sees it: envelope and message out, one verdict a recipient back.

Also what couriers share around it: how long to wait, what a lost connection means, how a reply is read. Who
to connect to, and reuse, are in `client.py`.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass

import aiosmtplib

from posthouse.net.dns import to_ascii
from posthouse.outbound.courier import DeliveryResult, Outcome, Parcel

LONGEST_DIAGNOSTIC = 500
SLOWEST_LINK = 65_536  # octets a second below which a transfer is given up
LIVENESS_S = 10.0  # how long an idle connection has to say that it still lives

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")  # RFC 2034 §4, RFC 3463 §2
# A path as it may stand between angle brackets: quoted local parts may hold blanks and brackets.
_ATEXT = r"[^\x00-\x20\x7f-\xa0\"(),:;<>@\[\\\]\ud800-\udfff]"
_LOCAL_PART = re.compile(rf'{_ATEXT}+|"(?:[^\x00-\x1f\x7f-\xa0"\\\ud800-\udfff]|\\[\x20-\x7e])*"')
_DOMAIN = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Za-z.:-]+\]")

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


class Session:
    """An open connection that has said EHLO."""

    def __init__(self, smtp: aiosmtplib.SMTP, hop: Hop, timeouts: Timeouts) -> None:
        self.smtp = smtp
        self.hop = hop
        self.sent = 0  # transactions begun
        self.idle_since = 0.0  # the loop's time; set when it is laid by
        self.expiry: asyncio.TimerHandle | None = None
        self._timeouts = timeouts
        self._open_transaction = False  # the server may hold an envelope that RSET must clear

    @property
    def usable(self) -> bool:
        return self.smtp.is_connected

    def offers(self, extension: str) -> bool:
        return self.smtp.supports_extension(extension)

    def close(self) -> None:
        self.smtp.close()

    async def quit(self) -> None:
        """Say goodbye and close, whatever the other side does (RFC 5321 §4.1.1.10)."""
        try:
            await self.smtp.quit(timeout=self._timeouts.quit_s)
        except (aiosmtplib.SMTPException, OSError):
            pass
        finally:
            self.smtp.close()

    async def send(self, parcel: Parcel) -> list[DeliveryResult]:
        """One transaction for all recipients (RFC 5321 §3.3).

        Returns:
            One result a recipient, in the parcel's order. After a loss of the connection `usable` is false.

        Raises:
            Setback: the connection went, or was ended with 421, before anything was known of any recipient
                and before the message was handed over: another address may be tried.
        """
        results: dict[str, DeliveryResult] = {}
        paths: dict[str, bytes] = {}
        for recipient in parcel.recipients:
            if (path := _path(recipient, utf8=parcel.requires_utf8)) is not None:
                paths[recipient] = path
            else:
                results[recipient] = _ours(recipient, "5.1.3", "the recipient's address is malformed")
        reverse_path = _path(parcel.mail_from, utf8=parcel.requires_utf8) if parcel.mail_from else b"<>"
        if reverse_path is None:
            return [_ours(each, "5.1.7", "the sender's address is malformed") for each in parcel.recipients]
        message = _with_line_ends(parcel.raw)
        if (refusal := self._early_refusal(parcel, len(message))) is not None:
            return [_ours(each, *refusal) for each in parcel.recipients]
        if paths:
            await self._transact(parcel, reverse_path, paths, message, results)
        return [results[recipient] for recipient in parcel.recipients]

    async def _transact(
        self,
        parcel: Parcel,
        reverse_path: bytes,
        paths: dict[str, bytes],
        message: bytes,
        results: dict[str, DeliveryResult],
    ) -> None:
        """The dialogue; fills in a result for each path."""
        settled = len(results)
        handed_over = False
        try:
            await self._clear()
            self.sent += 1
            # Only the first digit of a reply steers us (RFC 5321 §4.3.2).
            options = self._mail_options(parcel, len(message))
            code, text = await self._command(b"MAIL FROM:" + reverse_path, *options)
            if not 200 <= code < 300:
                results.update((each, self._verdict(each, code, text)) for each in paths)
                return
            self._open_transaction = True
            accepted: list[str] = []
            for recipient, path in paths.items():
                options = self._rcpt_options(parcel, recipient)
                code, text = await self._command(b"RCPT TO:" + path, *options)
                if 200 <= code < 300:
                    accepted.append(recipient)
                else:
                    full = bool(accepted) and code == 552
                    results[recipient] = self._verdict(recipient, code, text, too_many=full)
            if not accepted:
                return
            code, text = await self._command(b"DATA", timeout_s=self._timeouts.data_s, expects_3xx=True)
            if 300 <= code < 400:
                handed_over = True
                code, text = await self._transfer(_with_stuffed_dots(message))
                self._open_transaction = False
            results.update((each, self._verdict(each, code, text)) for each in accepted)
        except Setback as setback:
            self.close()
            if not handed_over and len(results) == settled:
                raise
            # After the dot nobody knows whether the message was taken. It is never called delivered, and no
            # other host is tried now: twice is better than never, later is better than at once (RFC 5321
            # §4.5.3.2.6, RFC 1047).
            for late in setback.for_all(parcel):
                results.setdefault(late.recipient, late)

    async def _clear(self) -> None:
        """Before a reuse: clear what the last transaction left, and see whether anybody is still there."""
        if self.sent == 0:
            return
        if self._open_transaction or asyncio.get_running_loop().time() - self.idle_since >= self._timeouts.fresh_s:
            code, text = await self._command(b"RSET", timeout_s=min(LIVENESS_S, self._timeouts.command_s))
            if not 200 <= code < 300:
                raise refused_by(self.hop, code, text)
            self._open_transaction = False

    def _early_refusal(self, parcel: Parcel, size: int) -> tuple[str, str] | None:
        """What the server's EHLO already rules out: status and words."""
        limit = self.smtp.esmtp_extensions.get("size", "").strip()
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:18]) < size:  # RFC 1870 §6.1
            return "5.3.4", f"the message has {size} octets and {self.hop.host} takes {limit}"
        if parcel.requires_utf8 and not self.offers("smtputf8"):  # RFC 6531 §3.5
            return "5.6.7", f"{self.hop.host} does not take internationalised mail (SMTPUTF8)"
        return None

    def _mail_options(self, parcel: Parcel, size: int) -> list[bytes]:
        options = []
        if self.offers("size"):
            options.append(b"SIZE=%d" % size)
        # Eight-bit octets go out even where 8BITMIME is not offered: every server of today takes them, and
        # to re-encode would break the signature. RFC 6152 §3 would have us bounce what arrives in practice.
        # SMTPUTF8 comes with eight-bit headers (RFC 6531 §3.6).
        if (parcel.requires_8bit or parcel.requires_utf8) and self.offers("8bitmime"):
            options.append(b"BODY=8BITMIME")
        if parcel.requires_utf8:
            options.append(b"SMTPUTF8")
        if self.offers("dsn"):  # RFC 3461 §4.3, §4.4
            options.append(b"RET=HDRS")
            if parcel.envelope_id and len(envelope_id := _xtext(parcel.envelope_id)) <= 100:
                options.append(b"ENVID=" + envelope_id)
        return options

    def _rcpt_options(self, parcel: Parcel, recipient: str) -> list[bytes]:
        if not self.offers("dsn"):
            return []
        # RFC 3461 §4.1; about a report there is no report (§5.2.1, RFC 5321 §4.5.5).
        options = [b"NOTIFY=FAILURE,DELAY" if parcel.mail_from else b"NOTIFY=NEVER"]
        original = _original_recipient(recipient)
        if len(original) <= 500:  # RFC 3461 §4.2
            options.append(b"ORCPT=" + original)
        return options

    async def _command(
        self, *words: bytes, timeout_s: float | None = None, expects_3xx: bool = False
    ) -> tuple[int, str]:
        """Send a command and read its reply; whatever ends the connection is a `Setback`."""
        verb = words[0].split(b" ")[0].decode("ascii")
        timeout_s = self._timeouts.command_s if timeout_s is None else timeout_s
        try:
            code, text = await self.smtp.execute_command(*words, timeout=timeout_s)
        except (aiosmtplib.SMTPException, OSError) as exc:
            raise lost(exc, f"{verb} was answered", self.hop) from exc
        if code == 421:  # RFC 5321 §3.8: the server is closing
            raise refused_by(self.hop, code, text)
        if not 400 <= code < 600 and code // 100 != (3 if expects_3xx else 2):
            # Whoever answers so is not in the same dialogue as we are; going on could mean anything.
            raise Setback("4.5.0", f"{self.hop.host}: {verb} was answered with {code}", host=self.hop.host)
        return code, text

    async def _transfer(self, payload: bytes) -> tuple[int, str]:
        """Send the message and its dot, and wait for the reply that takes over responsibility."""
        protocol = self.smtp.protocol
        try:
            if protocol is None:
                raise aiosmtplib.SMTPServerDisconnected("Connection lost")
            protocol.write(payload + b".\r\n")
            timeout_s = self._timeouts.done_s + len(payload) / SLOWEST_LINK
            code, text = await protocol.read_response(timeout=timeout_s)
        except (aiosmtplib.SMTPException, OSError) as exc:
            raise lost(exc, "the message was acknowledged", self.hop) from exc
        if code == 421 or not 200 <= code < 600 or 300 <= code < 400:
            self.close()
        return code, text

    def _verdict(self, recipient: str, code: int, text: str, *, too_many: bool = False) -> DeliveryResult:
        outcome, status = outcome_of(code, text)
        if too_many and status in ("5.2.2", "5.5.3") and not text.startswith("5.2.2"):
            outcome, status = "deferred", "4.5.3"  # RFC 5321 §4.5.3.1.10: an old way to say "enough for now"
        return DeliveryResult(recipient, outcome, status, reply_line(code, text), self.hop.host, code)


def _ours(recipient: str, status: str, text: str) -> DeliveryResult:
    """A refusal of our own making: nobody was asked."""
    return DeliveryResult(recipient, "failed", status, one_line(text))


def refused_by(hop: Hop, code: int, text: str) -> Setback:
    outcome, status = outcome_of(code, text)
    return Setback(status, reply_line(code, text), final=outcome == "failed", host=hop.host, code=code)


def lost(exc: Exception, before: str, hop: Hop) -> Setback:
    """A connection that ended before something happened."""
    if isinstance(exc, aiosmtplib.SMTPResponseException):
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
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # as aiosmtplib decodes
    text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())[:LONGEST_DIAGNOSTIC]


def _path(address: str, *, utf8: bool) -> bytes | None:
    """An address between angle brackets, or None for one that can not be said in SMTP (RFC 5321 §4.1.2).

    Strict, for what is let through here is written into the dialogue: a bracket or line end in an address
    would be a command of its sender's choice.
    """
    local_part, at, domain = address.rpartition("@")
    try:
        domain = domain if domain.startswith("[") else to_ascii(domain)
    except ValueError:
        return None
    if not at or not _LOCAL_PART.fullmatch(local_part) or not _DOMAIN.fullmatch(domain):
        return None
    if not utf8 and not local_part.isascii():
        return None
    return f"<{local_part}@{domain}>".encode()


def _xtext(text: str) -> bytes:
    """RFC 3461 §4: printable ASCII but `+` and `=`; the rest in hexadecimal."""
    return b"".join(
        bytes([octet]) if 33 <= octet <= 126 and octet not in b"+=" else b"+%02X" % octet
        for octet in text.encode("utf-8", "replace")
    )


def _original_recipient(recipient: str) -> bytes:
    """ORCPT's value: the address as the sender wrote it (RFC 3461 §4.2, RFC 6533 §3)."""
    if recipient.isascii():
        return b"rfc822;" + _xtext(recipient)
    escaped = "".join(
        char if "!" <= char <= "~" and char not in "+=\\" else f"\\x{{{ord(char):02X}}}" for char in recipient
    )
    return b"utf-8;" + escaped.encode("ascii")


def _with_line_ends(raw: bytes) -> bytes:
    """The message with CRLF everywhere and at its end.

    A bare CR or LF left alone would be read by some servers as a line end, and what follows it as the end of
    the message and commands (RFC 5321 §2.3.8).
    """
    ends = raw.count(b"\r\n")
    if raw.count(b"\n") != ends or raw.count(b"\r") != ends:
        raw = re.sub(rb"\r\n|\r|\n", b"\r\n", raw)
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def _with_stuffed_dots(message: bytes) -> bytes:
    """RFC 5321 §4.5.2: a dot that begins a line is doubled."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
