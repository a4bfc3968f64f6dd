"""What a subject is without the marks of replies and forwards.

Obeys RFC 5256 §2.1, with the words for "reply" and "forward" of other languages beside `Re` and `Fwd`.
"""

from __future__ import annotations

import re

from posthouse.wire.text import caseless

_REPLY_WORDS = (
    "re|ref|aw|antw|antwort|sv|vs|odp|r|rif|res|resp|ynt|atb|na|ang|отв|ответ|回复|回覆|答复|返信|회신|בעניין|ha"
)
_FORWARD_WORDS = (
    "fw|fwd|wg|tr|rv|enc|i|vb|vl|pd|doorst|ilt|iltr|továbbítás|vá|пересл|转发|轉寄|転送|전달|הועבר|fs|trs|πρθ|προώθ"
)
# RFC 5256 §5, subj-refwd: a word, perhaps a blob as in `Re[2]`, a colon.
_COUNT = r"\s*(?:\[[^\[\]]{0,40}\]|\(\d{1,3}\)|\^\d{1,3})?\s*[:：]\s*"
_REPLY = re.compile(rf"(?:{_REPLY_WORDS}){_COUNT}", re.IGNORECASE)
_FORWARD = re.compile(rf"(?:{_FORWARD_WORDS}){_COUNT}", re.IGNORECASE)
_BLOB = re.compile(r"\[[^\[\]]*\]\s*")
_TRAILER = re.compile(r"\s*\(fwd\)\s*\Z", re.IGNORECASE)
# RFC 5322 §2.1.1 would allow more; two subjects equal so far are equal.
_MAX_SUBJECT_CHARS = 998


def base_subject(subject: str) -> tuple[str, bool]:
    """The part of a subject that all messages of a conversation share.

    Args:
        subject: decoded, as `headers.decode_text` gives it.

    Returns:
        The base in one case and NFC, fit for comparing only, and whether the subject was marked as a reply or a
        forward.

    Source: RFC 5256 §2.1, steps 1 to 6.
    """
    text = " ".join(subject[:_MAX_SUBJECT_CHARS].split())
    marked = False
    while True:
        while (trailer := _TRAILER.search(text)) is not None:  # step 2
            text, marked = text[: trailer.start()], True
        text, found = _without_leaders(text)  # steps 3 to 5
        marked = marked or found
        if not (text[:5].lower() == "[fwd:" and text.endswith("]")):
            break
        text, marked = text[5:-1].strip(), True  # step 6
    return caseless(text), marked


def _without_leaders(text: str) -> tuple[str, bool]:
    position, marked = 0, False
    while True:
        # subj-leader: blobs, then a word of reply or forward.
        after_blobs = position
        while (blob := _BLOB.match(text, after_blobs)) is not None:
            after_blobs = blob.end()
        leader = _REPLY.match(text, after_blobs) or _FORWARD.match(text, after_blobs)
        if leader is not None:
            position, marked = leader.end(), True
            continue
        # A blob alone goes too, unless nothing would be left.
        first = _BLOB.match(text, position)
        if first is not None and first.end() < len(text) and text[position : position + 5].lower() != "[fwd:":
            position = first.end()
            continue
        return text[position:].strip(), marked


def is_reply(subject: str) -> bool:
    """Whether a subject begins with the mark of an answer, behind blobs as of mailing lists."""
    return _REPLY.match(subject, _after_blobs(subject)) is not None


def is_forward(subject: str) -> bool:
    """Whether a subject begins with the mark of a forwarded message, or is one as a whole."""
    text = subject[:_MAX_SUBJECT_CHARS].strip()
    is_marked = text[:5].lower() == "[fwd:" or text[-5:].lower() == "(fwd)"
    return is_marked or _FORWARD.match(text, _after_blobs(text)) is not None


def _after_blobs(subject: str) -> int:
    position = len(subject) - len(subject.lstrip())
    while (blob := _BLOB.match(subject, position)) is not None:
        position = blob.end()
    return position


def reply_subject(subject: str) -> str:
    """The subject of an answer: `Re: ` once in front, whatever form of it was there (RFC 5322 §3.6.5)."""
    return _prefixed("Re: ", _REPLY, subject)


def forward_subject(subject: str) -> str:
    """The subject of a forwarded message: `Fwd: ` once in front, whatever form of it was there."""
    return _prefixed("Fwd: ", _FORWARD, subject)


def _prefixed(prefix: str, pattern: re.Pattern[str], subject: str) -> str:
    text = " ".join(subject.split())
    position = 0
    while (match := pattern.match(text, position)) is not None:
        position = match.end()
    return (prefix + text[position:]).rstrip()
