"""Bounces that are no delivery status notifications: prose of qmail, Exim, Exchange and many more.

There is no standard for them, so they are told by what all have in common: a sender that is a mail system, words of
failure, and a refusal. Whom and what they are about is read as far as it can be; who holds them for proved (by the
address they came to) needs neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from posthouse.kit.errors import Malformed
from posthouse.wire import failure_words, multipart_report, raw_headers
from posthouse.wire.address import normalize, split
from posthouse.wire.dsn import Action, Dsn, DsnRecipient, about_mail, of_status_part
from posthouse.wire.message import ParsedMessage, part_text
from posthouse.wire.mime import Part

# A report is short; behind this it quotes the mail.
_MAX_CHARS = 32_768
_MAX_RECIPIENTS = 50
_MAX_DIAGNOSTIC = 2_000


def _any(*words: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE | flags)


_SYSTEM = _any(
    r"mail(?:er)?-?daemon|post_?master|mdaemon|mail(?:er)?[._-]?(?:admin|system|delivery|agent)|mailsystem|mmdf|smtp",
    r"bounces?\b|listserv|administrator|sysadmin|system|amavis|no-?reply|notification|delivery",
)
_SUBJECT = _any(
    r"undeliver|non[- ]?deliver|not (?:be )?deliver|delayed|bounced?\b|(?:user|host) unknown|mail could not",
    r"deliver\w*.{0,40}(?:fail|problem|error|status|report|notif|delay|warn)",
    r"fail\w*.{0,24}(?:deliver|notice|message|mail|return)|returned (?:mail|message|to sender)",
    r"(?:mail|message) (?:could|was|is).{0,24}(?:not|return|delay|undeliver)|error sending your (?:mail|message)",
    r"mail (?:error|fail|delivery|system error)|could ?n[o']t (?:be )?(?:sen[dt]|deliver)|unable to (?:send|deliver)",
    r"unzustellbar|nicht zugestellt|non remis|échec|no entregado|devuelt|не ?доставлен|配信|配送|送信|エラー",
)
_FAILURE = _any(
    r"(?:not|n't|un) ?(?:be|been|able to)?.{0,32}deliver|undeliver|error (?:while )?delivering|trouble delivering",
    r"deliver\w*.{0,60}(?:fail|problem|error|not possible|impossible|unsuccess|suspend|delay|abort)|failure reason",
    r"fail\w* (?:to|deliver|address|recip|permanent)|address\(?e?s?\)? (?:that )?failed|did not reach",
    r"permanent (?:fatal )?error|fatal error|had.{0,24}errors?|returned (?:to|mail)|bounced|transcript of session",
    r"(?:was|were|is|being) (?:rejected|returned|refused|blocked)|rejected (?:by|your|recipient)",
    r"unknown (?:user|recipient|address)|user unknown|could ?not (?:be )?(?:sen[dt]|reach)",
    r"unable to (?:send|relay|contact|process|reach|deliver)|error: invalid|deferred:",
    r"non remis|zustell|не может быть доставлен|не доставлен|できません|届け|エラー|せんでした",
)
# First lines nobody but a mail system writes.
_MARKS = _any(
    r"this is the (?:qmail-send|postfix|mail system|mail delivery|[\w. -]{0,30}program)",
    r"mail delivery (?:software|system|subsystem)|delivery (?:status )?notification|did not reach the following",
    r"(?:could not|couldn't|unable to|not able to) (?:be )?deliver|delivery.{0,40}failed|permanent (?:fatal )?error",
    r"----- the following addresses had|error message below",
)
_LATE = _any(
    r"warning message only|(?:message|delivery) (?:is |has been )?delayed|has not yet been delivered",
    r"still (?:being|be) (?:retried|tried)|will (?:keep|continue|be retried)|delivery attempts will continue",
    r"(?:do not|don't|need not|not necessary to) (?:need to )?(?:resend|re-send)|no action is required on your part",
)
# Where the report ends and the mail begins.
_COPY = _any(
    r"^[-=*_ |]*(?:below this line is a copy|this is a copy of|original (?:message|mail|email)|your original mail"
    r"|your original message|the (?:header of the )?(?:original|undeliver\w*) (?:message|mail)|returned message"
    r"|rfc822 headers?|here is a copy"
    r"|(?:message|mail) (?:headers?|text|contents?) follows?|start of (?:returned|forwarded) message|unsent message"
    r"|(?:undelivered|forwarded|offending) message|headers? (?:of|from)|included is a copy|message headers?"
    r"|.{0,20}following is a copy|(?:a )?copy of (?:the )?(?:original )?message)[^\n]*$",
    r"^(?:return-path|received|x-mailer|message-id|dkim-signature): ?[^\n]*$",
    flags=re.MULTILINE,
)
_ADDRESS = re.compile(
    r"(?<![\w.+/=@-])[\w!#$%+=?{~-][\w.!#$%&'*+/=?^{|}~-]{0,63}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)*[A-Za-z0-9-]+"
)
_GROUP_FIELD = re.compile(rb"^(?:Final|Original)-Recipient:", re.IGNORECASE | re.MULTILINE)
_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_RETURNED_TYPES = frozenset({"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"})


def read(raw: bytes, parsed: ParsedMessage, mail_from: str) -> Dsn | None:
    """What a mail says did not arrive; None when it does not look like a bounce. Never raises.

    Args:
        raw: the whole message.
        mail_from: the reverse-path it came with; a bounce has the null one (RFC 5321 §4.5.5), or a mail system's.

    Returns:
        Recipients as far as they are named; one without an address where none is.
    """
    if not _is_from_a_system(parsed, mail_from):
        return None
    returned = _returned(raw, parsed)
    for body in _status_bodies(raw, parsed):
        try:
            return of_status_part(body, returned)
        except Malformed:
            continue
    text = _report_text(raw, parsed)
    failed = _header(parsed, "x-failed-recipients")
    says_why = failure_words.is_refusal(text) or (_FAILURE.search(text) and (returned or _ADDRESS.search(text)))
    if not (failed or (says_why and (_SUBJECT.search(parsed.subject) or _FAILURE.search(text)))):
        return None
    return about_mail(tuple(_recipients(text, failed, parsed, returned)), returned)


def _is_from_a_system(parsed: ParsedMessage, mail_from: str) -> bool:
    """A null reverse-path or a system's name, and a subject or a mark that says so: an answer has neither."""
    if _header(parsed, "x-failed-recipients"):
        return True
    name = " ".join([split(mail_from)[0], *(split(person.email)[0] for person in parsed.from_)])
    is_system = not mail_from or _SYSTEM.search(name) is not None
    return is_system and (
        _SUBJECT.search(parsed.subject) is not None or _MARKS.search(parsed.plain[:2_000]) is not None
    )


def _header(parsed: ParsedMessage, name: str) -> str:
    return next((value for key, value in parsed.headers if key.lower() == name), "")


def _leaves(part: Part) -> Iterator[Part]:
    waiting = [part]
    while waiting:
        part = waiting.pop(0)
        if part.parts:
            waiting = [*part.parts, *waiting]
        else:
            yield part


def _status_bodies(raw: bytes, parsed: ParsedMessage) -> Iterator[bytes]:
    """Delivery-status fields outside a multipart/report, or in the text itself."""
    for part in _leaves(parsed.structure):
        if part.content_type in _STATUS_TYPES:
            yield raw[part.start : part.end]
    for part in _leaves(parsed.structure):
        if part.content_type == "text/plain":
            text = part_text(raw, part)[:_MAX_CHARS].encode("utf-8", "replace")
            if (found := _GROUP_FIELD.search(text)) is not None:
                yield text[found.start() :]
            return


def _returned(raw: bytes, parsed: ParsedMessage) -> bytes:
    for part in _leaves(parsed.structure):
        if part.content_type in _RETURNED_TYPES:
            body = raw[part.start : part.end].lstrip(b"\r\n")
            return body[: raw_headers.split(body)[1]][:65_536]
    text = parsed.plain[:_MAX_CHARS]
    for mark in _COPY.finditer(text):
        rest = text[mark.start() if ":" in mark.group()[:20] else mark.end() :].lstrip().encode("utf-8", "replace")
        fields, end = raw_headers.split(rest)
        if len(fields) > 2:
            return rest[:end]
    return b""


def _report_text(raw: bytes, parsed: ParsedMessage) -> str:
    """The mail system's own words, without the mail they are about."""
    text = parsed.plain[:_MAX_CHARS]
    if not text.strip():
        first = next((part for part in _leaves(parsed.structure) if part.content_type.startswith("text/")), None)
        text = part_text(raw, first)[:_MAX_CHARS] if first is not None else ""
    mark = _COPY.search(text)
    # Some begin with what looks like the mark; then nothing would be left.
    return text[: mark.start()] if mark is not None and text[: mark.start()].strip() else text


def _recipients(text: str, failed: str, parsed: ParsedMessage, returned: bytes) -> Iterator[DsnRecipient]:
    """Each address with what is said behind it, up to the next."""
    is_late = bool(_LATE.search(f"{parsed.subject}\n{text}")) and not failed
    fields, _ = raw_headers.split(returned)
    wrote_to = {normalize(each) for name in (b"to", b"cc", b"bcc") for each in multipart_report.addresses(fields, name)}
    named = {normalize(each): each for each in _ADDRESS.findall(failed)} or _named(text, parsed, wrote_to)
    for key, address in list(named.items())[:_MAX_RECIPIENTS] or [("", "")]:
        place = text.lower().find(key) if key else -1
        others = [text.find(each, place + len(key)) for each in named.values() if each != address]
        end = min((other for other in others if other > place), default=len(text))
        own = text[place:end] if place >= 0 else text
        code = failure_words.code_of(own) or failure_words.code_of(text)
        action: Action = "delayed" if is_late or code.startswith("2") else "failed"
        fallback = "4.0.0" if action == "delayed" else "5.0.0"
        yield DsnRecipient(
            final_recipient=address,
            action=action,
            status=code or fallback,
            diagnostic=" ".join(own.split())[:_MAX_DIAGNOSTIC],
        )


def _named(text: str, parsed: ParsedMessage, wrote_to: set[str]) -> dict[str, str]:
    """Addresses in the report: those the mail was written to, else those that stand first on a line, else any."""
    ours = {normalize(person.email) for person in (*parsed.to, *parsed.cc)}
    ours |= {normalize(person.email) for person in parsed.from_}
    anywhere: dict[str, str] = {}
    leading: dict[str, str] = {}
    for line in text.splitlines():
        for found in _ADDRESS.finditer(line):
            address = found.group().rstrip(".'")
            key = normalize(address)
            if key in ours and key not in wrote_to:
                continue
            anywhere.setdefault(key, address)
            if not line[: found.start()].strip(" \t<>*-'\"([{:") or re.match(r"(?i)\W*(?:to|rcpt|recipient)\W", line):
                leading.setdefault(key, address)
    known = {key: address for key, address in anywhere.items() if key in wrote_to}
    alone = {key: key for key in wrote_to} if len(wrote_to) == 1 else {}
    return known or leading or dict(list(anywhere.items())[:1]) or alone
