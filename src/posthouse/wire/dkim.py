"""What DKIM signing and verifying share (RFC 6376 §3): canonical forms, algorithms, key sizes.

Signing is `dkim_sign.py`, verifying `dkim_verify.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from posthouse.wire import raw_headers
from posthouse.wire.raw_headers import RawField

Algorithm = Literal["rsa-sha256", "ed25519-sha256"]
Canonicalization = Literal["simple", "relaxed"]

MINIMUM_RSA_BITS = 1024  # RFC 8301 §3.2: signatures by shorter keys are not even considered
RSA_BITS = 2048  # RFC 8301 §3.2: signers SHOULD use at least that

_WHITE_RUN = re.compile(rb"[ \t]{2,}|\t")


def canonical_field(field: RawField, form: Canonicalization) -> bytes:
    """One header field as it is hashed, CRLF included."""
    name, value = field
    if form == "simple":  # RFC 6376 §3.4.1
        return raw_headers.with_crlf(name + b":" + value) + b"\r\n"
    # RFC 6376 §3.4.2. Only space and tab are WSP: a form feed or a bare CR stays and is hashed.
    value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    value = _WHITE_RUN.sub(b" ", value).strip(b" ")
    return name.rstrip(b" \t").lower() + b":" + value + b"\r\n"


def canonical_body(body: bytes, form: Canonicalization) -> bytes:
    """The body as it is hashed. Linear in its length, whatever it is made of.

    Args:
        body: with CRLF line ends (`raw_headers.with_crlf`).
        form: RFC 6376 §3.4.3 (simple) or §3.4.4 (relaxed).
    """
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if form == "relaxed":
        # In two steps, since one pattern for white space before a line end is quadratic on long runs.
        body = _WHITE_RUN.sub(b" ", body).replace(b" \r\n", b"\r\n")
    body = _without_trailing_empty_lines(body)
    if not body and form == "simple":
        return b"\r\n"
    return body


def _without_trailing_empty_lines(body: bytes) -> bytes:
    text = body.rstrip(b"\r\n")
    tail = body[len(text) :]
    # The tail is made of CR and LF only, every LF after a CR. What comes before the last run of CRLF pairs
    # (bare CRs, which end no line) stays.
    bare = tail.rfind(b"\r\r") + 1
    kept = text + tail[:bare]
    return kept + b"\r\n" if kept else b""


def select(fields: list[RawField], names: Iterable[bytes]) -> list[RawField]:
    """The fields a signature covers, in the order of `names` (RFC 6376 §5.4.2).

    A name met for the n-th time takes the n-th field of that name from the bottom; past the last one
    it takes nothing, and so keeps a later hand from adding one.

    Args:
        fields: the whole header, top down.
        names: lower case.
    """
    remaining: dict[bytes, list[RawField]] = {}
    for field in fields:
        remaining.setdefault(raw_headers.name_of(field), []).append(field)
    return [remaining[name].pop() for name in names if remaining.get(name)]
