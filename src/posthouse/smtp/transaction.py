"""One mail transaction as the client sees it: envelope and message out, one verdict a recipient back.

Where the server offers PIPELINING, the whole envelope and DATA go out in one write and cost one round trip
(RFC 2920 §3.1); else each command waits for the answer to the one before.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from posthouse.kit.errors import Malformed
from posthouse.net.dns import to_ascii
from posthouse.outbound.courier import DeliveryResult, Parcel
from posthouse.smtp.dialogue import Dialogue, Setback, one_line, outcome_of, refused_by, reply_line
from posthouse.wire.smtp_answers import Answer
from posthouse.wire.smtp_data import stuff
from posthouse.wire.smtp_parameters import encode_envid, encode_orcpt

SLOWEST_LINK: Final = 65_536  # octets a second below which a transfer is given up
LIVENESS_S: Final = 10.0  # how long an idle connection has to say that it still lives

# A path as it may stand between angle brackets: quoted local parts may hold blanks and brackets.
_ATEXT = r"[^\x00-\x20\x7f-\xa0\"(),:;<>@\[\\\]\ud800-\udfff]"
_LOCAL_PART = re.compile(rf'{_ATEXT}+|"(?:[^\x00-\x1f\x7f-\xa0"\\\ud800-\udfff]|\\[\x20-\x7e])*"')
_DOMAIN = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Za-z.:-]+\]")


async def send(dialogue: Dialogue, parcel: Parcel) -> list[DeliveryResult]:
    """One transaction for all recipients (RFC 5321 §3.3).

    Returns:
        One result a recipient, in the parcel's order. After a loss of the connection the dialogue is not usable.

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
    if (refusal := _early_refusal(dialogue, parcel, len(message))) is not None:
        return [_ours(each, *refusal) for each in parcel.recipients]
    if paths:
        mail = b" ".join([b"MAIL FROM:" + reverse_path, *_mail_options(dialogue, parcel, len(message))])
        rcpts = {
            recipient: b" ".join([b"RCPT TO:" + path, *_rcpt_options(dialogue, parcel, recipient)])
            for recipient, path in paths.items()
        }
        await _Transaction(dialogue, parcel, results).run(mail, rcpts, message)
    return [results[recipient] for recipient in parcel.recipients]


class _Transaction:
    """The dialogue of one; fills in a result for each recipient that is spoken of in it."""

    def __init__(self, dialogue: Dialogue, parcel: Parcel, results: dict[str, DeliveryResult]) -> None:
        self._dialogue = dialogue
        self._parcel = parcel
        self._results = results
        self._handed_over = False

    async def run(self, mail: bytes, rcpts: Mapping[str, bytes], message: bytes) -> None:
        settled = len(self._results)
        try:
            await self._clear()
            self._dialogue.sent += 1
            if self._dialogue.offers("pipelining"):
                await self._in_one_group(mail, rcpts, message)
            else:
                await self._step_by_step(mail, rcpts, message)
        except Setback as setback:
            self._dialogue.close()
            if not self._handed_over and len(self._results) == settled:
                raise
            # After the dot nobody knows whether the message was taken. It is never called delivered, and no
            # other host is tried now: twice is better than never, later is better than at once (RFC 5321
            # §4.5.3.2.6, RFC 1047).
            for late in setback.for_all(self._parcel):
                self._results.setdefault(late.recipient, late)

    async def _clear(self) -> None:
        """Before a reuse: clear what the last transaction left, and see whether anybody is still there."""
        dialogue = self._dialogue
        if dialogue.sent == 0:
            return
        idle_s = asyncio.get_running_loop().time() - dialogue.idle_since
        if dialogue.in_transaction or idle_s >= dialogue.timeouts.fresh_s:
            answer = await dialogue.command(b"RSET", min(LIVENESS_S, dialogue.timeouts.command_s))
            if not 200 <= answer.code < 300:
                raise refused_by(dialogue.hop, answer.code, answer.text)
            dialogue.in_transaction = False

    # Only the first digit of a reply steers us (RFC 5321 §4.3.2).

    async def _step_by_step(self, mail: bytes, rcpts: Mapping[str, bytes], message: bytes) -> None:
        if not self._mail_answered(await self._dialogue.command(mail), rcpts):
            return
        accepted: list[str] = []
        for recipient, rcpt in rcpts.items():
            self._rcpt_answered(await self._dialogue.command(rcpt), recipient, accepted)
        if accepted:
            await self._dialogue.say([b"DATA"])
            await self._data_answered(accepted, message)

    async def _in_one_group(self, mail: bytes, rcpts: Mapping[str, bytes], message: bytes) -> None:
        """RFC 2920 §3.1: DATA is said before it is known whether there is a recipient, and every answer is read."""
        dialogue = self._dialogue
        await dialogue.say([mail, *rcpts.values(), b"DATA"])
        is_open = self._mail_answered(await dialogue.hear("MAIL"), rcpts)
        accepted: list[str] = []
        for recipient in rcpts:
            answer = await dialogue.hear("RCPT")
            if is_open:  # else the refusal of MAIL has said it all
                self._rcpt_answered(answer, recipient, accepted)
        await self._data_answered(accepted, message)

    def _mail_answered(self, answer: Answer, recipients: Mapping[str, bytes]) -> bool:
        if not 200 <= answer.code < 300:
            self._results.update((each, self._verdict(each, answer, of_message=True)) for each in recipients)
            return False
        self._dialogue.in_transaction = True
        return True

    def _rcpt_answered(self, answer: Answer, recipient: str, accepted: list[str]) -> None:
        if 200 <= answer.code < 300:
            accepted.append(recipient)
        else:
            too_many = bool(accepted) and answer.code == 552
            self._results[recipient] = self._verdict(recipient, answer, too_many=too_many)

    async def _data_answered(self, accepted: list[str], message: bytes) -> None:
        dialogue = self._dialogue
        answer = await dialogue.hear("DATA", dialogue.timeouts.data_s, go_ahead=True)
        if 300 <= answer.code < 400:
            if accepted:
                self._handed_over = True
                content = stuff(message) + b".\r\n"
            else:
                content = b".\r\n"  # RFC 2920 §3.1: a message for nobody, and nothing of ours in it
            answer = await dialogue.hand_over(content, dialogue.timeouts.done_s + len(content) / SLOWEST_LINK)
            dialogue.in_transaction = False
            if answer.code == 421 or not 200 <= answer.code < 600 or 300 <= answer.code < 400:
                dialogue.close()
        self._results.update((each, self._verdict(each, answer, of_message=True)) for each in accepted)

    def _verdict(
        self, recipient: str, answer: Answer, *, too_many: bool = False, of_message: bool = False
    ) -> DeliveryResult:
        outcome, status = outcome_of(answer.code, answer.text)
        if of_message and answer.code == 552 and not answer.text.startswith("5."):
            status = "5.3.4"  # RFC 1870 §6.1: not a full mailbox, but a message too large
        if too_many and status in ("5.2.2", "5.5.3") and not answer.text.startswith("5.2.2"):
            outcome, status = "deferred", "4.5.3"  # RFC 5321 §4.5.3.1.10: an old way to say "enough for now"
        return DeliveryResult(
            recipient,
            outcome,
            status,
            reply_line(answer.code, answer.text),
            self._dialogue.hop.host,
            answer.code,
            reports_success=outcome == "delivered" and self._dialogue.offers("dsn"),
        )


def _ours(recipient: str, status: str, text: str) -> DeliveryResult:
    """A refusal of our own making: nobody was asked."""
    return DeliveryResult(recipient, "failed", status, one_line(text))


# What is said of a message, as far as the server's EHLO has room for it


def _early_refusal(dialogue: Dialogue, parcel: Parcel, size: int) -> tuple[str, str] | None:
    """What the server's EHLO already rules out: status and words."""
    limit = dialogue.parameters("size")
    if limit.isascii() and limit.isdigit() and 0 < int(limit[:18]) < size:  # RFC 1870 §6.1
        return "5.3.4", f"the message has {size} octets and {dialogue.hop.host} takes {limit}"
    if parcel.requires_utf8 and not dialogue.offers("smtputf8"):  # RFC 6531 §3.5
        return "5.6.7", f"{dialogue.hop.host} does not take internationalised mail (SMTPUTF8)"
    return None


def _mail_options(dialogue: Dialogue, parcel: Parcel, size: int) -> list[bytes]:
    options = []
    if dialogue.offers("size"):
        options.append(b"SIZE=%d" % size)
    # Eight-bit octets go out even where 8BITMIME is not offered: every server of today takes them, and
    # to re-encode would break the signature. RFC 6152 §3 would have us bounce what arrives in practice.
    # SMTPUTF8 comes with eight-bit headers (RFC 6531 §3.6).
    if (parcel.requires_8bit or parcel.requires_utf8) and dialogue.offers("8bitmime"):
        options.append(b"BODY=8BITMIME")
    if parcel.requires_utf8:
        options.append(b"SMTPUTF8")
    if dialogue.offers("dsn"):
        # RFC 3461 §5.2.1: as the sender said, and nothing where it said nothing.
        if parcel.dsn_return in ("FULL", "HDRS") and parcel.mail_from:
            options.append(b"RET=" + parcel.dsn_return.encode("ascii"))
        try:
            if parcel.envelope_id:
                options.append(b"ENVID=" + encode_envid(parcel.envelope_id).encode("ascii"))
        except Malformed:
            pass  # JMAP takes any text; what ENVID can not carry stays here, for our own reports
    return options


def _rcpt_options(dialogue: Dialogue, parcel: Parcel, recipient: str) -> list[bytes]:
    if not dialogue.offers("dsn"):
        return []
    options = []
    if not parcel.mail_from:
        options.append(b"NOTIFY=NEVER")  # about a report there is no report (RFC 3461 §7.1, RFC 5321 §4.5.5)
    elif notify := parcel.notify.get(recipient):
        options.append(b"NOTIFY=" + (b"NEVER" if "NEVER" in notify else notify.encode("ascii")))
    # RFC 3461 §5.2.1 (d): the one it came with, else the address it came to.
    default = f"{'rfc822' if recipient.isascii() else 'utf-8'};{recipient}"
    for original in (parcel.original_recipients.get(recipient, ""), default):
        try:
            value = encode_orcpt(original)
        except Malformed:
            continue
        # RFC 6533 §3 writes every other character in ASCII, so that a server without SMTPUTF8 takes it too.
        options.append(b"ORCPT=" + value.encode("ascii"))
        break
    return options


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


def _with_line_ends(raw: bytes) -> bytes:
    """The message with CRLF everywhere and at its end.

    A bare CR or LF left alone would be read by some servers as a line end, and what follows it as the end of
    the message and commands (RFC 5321 §2.3.8).
    """
    ends = raw.count(b"\r\n")
    if raw.count(b"\n") != ends or raw.count(b"\r") != ends:
        raw = re.sub(rb"\r\n|\r|\n", b"\r\n", raw)
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"
