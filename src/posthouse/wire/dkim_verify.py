"""Checking the DKIM signatures of incoming mail (RFC 6376 §6, RFC 8301, RFC 8463)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from posthouse.wire import dkim, raw_headers
from posthouse.wire.dkim import Canonicalization
from posthouse.wire.headers import parse_parameters
from posthouse.wire.raw_headers import RawField
from posthouse.wire.resolver import NameNotFound, Resolver, ResolverFailure

Result = Literal["pass", "fail", "neutral", "none", "permerror", "temperror", "policy"]
PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_MAXIMUM_RSA_BITS = 8192  # RFC 8301 §3.2 asks for up to 4,096; far longer keys only cost us time
_MAX_KEY_RECORDS = 4  # RFC 6376 §3.6.2.2 leaves more than one undefined; each of a few is tried
# What a reader is shown, or answers to; each occurs once (RFC 5322 §3.6, RFC 2045 §3).
_ONCE = (b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"in-reply-to",
         b"references", b"mime-version", b"content-type", b"content-transfer-encoding",
         b"content-disposition")  # fmt: skip
# Many honest signers leave some of these unsigned, but a signature is put on top of what it was made of: where
# one stands above its signature, a later hand added it.
_NOT_ABOVE = frozenset(
    {b"subject", b"reply-to", b"to", b"cc", b"content-type", b"content-transfer-encoding", b"content-disposition"}
)

_KINDS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519", "rsa-sha1": "rsa"}
_TAG = re.compile(r"([A-Za-z][A-Za-z0-9_]*)[ \t]*=(.*)", re.DOTALL)
_B_VALUE = re.compile(rb"((?:\A|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_WHITE = re.compile(r"[ \t\r\n]+")
# A delimiter and the field of a part behind it.
_DELIMITER = re.compile(rb"^--[^\r\n]{1,200}\r\n[A-Za-z-]{1,60}:", re.MULTILINE)
_LABEL = re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff](?:[A-Za-z0-9_\u0080-\U0010ffff-]{0,62})")


@dataclass(frozen=True, slots=True)
class DkimResult:
    """What one signature is worth.

    Attributes:
        result: the words of RFC 8601 §2.7.1. `pass`: the domain vouches for the signed fields and the
            body, and for no more. `fail`: it does not verify, or has expired. `policy`: it verifies or
            might, and we do not accept it (weak key, text appended under l=, fields added that it does not
            cover). `neutral`: it cannot be read, or fails under a key in testing. `permerror`: there is no usable key.
            `temperror`: the key could not be had now. `none`: the message is not signed.
        domain: `d=`, lower case; "" where it could not be read.
        selector: `s=`; "" likewise.
        algorithm: `a=`, lower case; "" likewise.
        reason: a few words for people; "" for a plain pass.
        key_bits: length of the RSA modulus, 256 for Ed25519, 0 where no key was read.
        signed_headers: `h=`, lower case, in order.
        identity: `i=`, or "@" and the domain.
        is_testing: the key's owner says it is not in earnest yet (`t=y`, RFC 6376 §3.6.1).
        signature: the first 8 characters of `b=`, which tell one signature of a domain from another
            (RFC 6008 §4).
        warnings: what a pass does not cover and a reader might think it does.
    """

    result: Result
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    reason: str = ""
    key_bits: int = 0
    signed_headers: tuple[str, ...] = ()
    identity: str = ""
    is_testing: bool = False
    signature: str = ""
    warnings: tuple[str, ...] = ()


class _Verdict(Exception):
    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result: Result = result
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Signature:
    own: RawField
    domain: str
    selector: str
    algorithm: str
    header_form: Canonicalization
    body_form: Canonicalization
    names: tuple[bytes, ...]
    identity: str
    signature: bytes
    body_hash: bytes
    body_length: int | None
    expires_s: int | None


@dataclass(frozen=True, slots=True)
class _Key:
    public: PublicKey
    bits: int
    is_testing: bool


@dataclass(slots=True)
class _Message:
    """The message, and the digests of its body made so far: one for all signatures of the same form."""

    fields: list[RawField]
    body: bytes
    canonical: dict[Canonicalization, bytes] = field(default_factory=dict)
    digests: dict[tuple[Canonicalization, int | None], bytes] = field(default_factory=dict)

    def canonical_body(self, form: Canonicalization) -> bytes:
        if form not in self.canonical:
            self.canonical[form] = dkim.canonical_body(self.body, form)
        return self.canonical[form]

    def digest(self, form: Canonicalization, length: int | None) -> bytes:
        if (form, length) not in self.digests:
            body = memoryview(self.canonical_body(form))[:length]
            self.digests[form, length] = hashlib.sha256(body).digest()
        return self.digests[form, length]


async def verify(raw: bytes, resolver: Resolver, *, at_s: int, max_signatures: int = 5) -> tuple[DkimResult, ...]:
    """Check every signature of a message, from the top.

    Args:
        raw: the whole message as it came; bare LFs are read as CRLFs.
        resolver: where the keys are looked up.
        at_s: seconds since 1970 UTC, against which `x=` is held.
        max_signatures: those further down are not looked at: each costs a look-up.

    Returns:
        One result per signature, in order; for a message without any, one that says `none`.

    Source: RFC 6376 §6.1, RFC 8301 §3, RFC 8463 §3.
    """
    fields, body_offset = raw_headers.split(raw)
    message = _Message(fields, raw_headers.with_crlf(raw[body_offset:]))
    own = [place for place, one in enumerate(fields) if raw_headers.name_of(one) == b"dkim-signature"]
    if not own:
        return (DkimResult("none", reason="not signed"),)
    return tuple([await _verify_one(message, place, resolver, at_s) for place in own[:max_signatures]])


async def _verify_one(message: _Message, place: int, resolver: Resolver, at_s: int) -> DkimResult:
    result = DkimResult("neutral")
    try:
        tags = _tags(message.fields[place][1])
        result = _described(tags)
        signature = _signature(message.fields[place], tags)
        if signature.expires_s is not None and signature.expires_s < at_s:
            raise _Verdict("fail", "signature has expired")
        others = message.fields[:place] + message.fields[place + 1 :]
        chosen = dkim.select(others, signature.names)
        if not any(raw_headers.name_of(one) == b"from" for one in chosen):
            raise _Verdict("permerror", "the message has no From")
        if (signature.body_length or 0) > len(message.canonical_body(signature.body_form)):
            raise _Verdict("neutral", "l= is longer than the body")
        if message.digest(signature.body_form, signature.body_length) != signature.body_hash:
            # Before the look-up: no DNS for what fails anyway.
            raise _Verdict("fail", "body hash does not match")
        keys = await _keys(signature, resolver)
        data = b"".join([dkim.canonical_field(one, signature.header_form) for one in chosen])
        own = (signature.own[0], _B_VALUE.sub(rb"\1", signature.own[1], count=1))
        data += dkim.canonical_field(own, signature.header_form)[:-2]
        key = next((key for key in keys if _is_signed(key.public, signature.signature, data)), None)
        result = replace(
            result, key_bits=(key or keys[0]).bits, is_testing=(key or keys[0]).is_testing
        )  # fmt: skip
        if key is None:
            if result.is_testing:  # RFC 6376 §3.6.1: no worse than unsigned
                raise _Verdict("neutral", "signature does not verify; the key is in testing")
            raise _Verdict("fail", "signature does not verify")
        _accept(message, place, signature)
    except _Verdict as verdict:
        return replace(result, result=verdict.result, reason=verdict.reason)
    return replace(result, result="pass", reason="", warnings=_warnings(message, signature))


def _tags(value: bytes) -> dict[str, str]:
    """Read a tag list (RFC 6376 §3.2)."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise _Verdict("neutral", "signature is not UTF-8") from None
    tags: dict[str, str] = {}
    for piece in text.split(";"):
        stripped = piece.strip(" \t\r\n")
        if not stripped:
            continue
        match = _TAG.fullmatch(stripped)
        if not match:
            raise _Verdict("neutral", "not a list of tags")
        if match[1] in tags:
            raise _Verdict("neutral", f"tag {match[1]}= occurs twice")
        tags[match[1]] = match[2].strip(" \t\r\n")
    return tags


def _described(tags: dict[str, str]) -> DkimResult:
    """What a result says of a signature even where that is no good."""
    domain = tags.get("d", "").lower().rstrip(".")
    if not _is_domain(domain):
        domain = ""
    return DkimResult(
        "neutral",
        domain=domain,
        selector=tags["s"] if _is_domain(tags.get("s", "")) else "",
        algorithm=tags["a"].lower() if tags.get("a", "").lower() in _KINDS else "",
        signed_headers=tuple(name.strip(" \t\r\n").lower() for name in tags.get("h", "").split(":")),
        identity=_WHITE.sub("", tags.get("i", "")) or f"@{domain}",
        signature=_WHITE.sub("", tags.get("b", ""))[:8],
    )


def _signature(own: RawField, tags: dict[str, str]) -> _Signature:
    """Check the signature by itself (RFC 6376 §6.1.1)."""
    missing = [tag for tag in ("v", "a", "b", "bh", "d", "h", "s") if not tags.get(tag)]
    if missing:
        raise _Verdict("neutral", f"tag {missing[0]}= is missing")
    if tags["v"] != "1":
        raise _Verdict("neutral", "unknown version")
    algorithm = tags["a"].lower()
    if algorithm == "rsa-sha1":  # RFC 8301 §3.1
        raise _Verdict("policy", "rsa-sha1 is no longer accepted")
    if algorithm not in _KINDS:
        raise _Verdict("neutral", "unknown algorithm")
    domain = tags["d"].lower().rstrip(".")
    if not _is_domain(domain) or "." not in domain:
        raise _Verdict("neutral", "d= is no domain")
    if not _is_domain(tags["s"]):
        raise _Verdict("neutral", "s= is no selector")
    header_form, _, body_form = tags.get("c", "simple/simple").lower().partition("/")
    body_form = body_form or "simple"  # RFC 6376 §3.5, c=
    if not {header_form, body_form} <= {"simple", "relaxed"}:
        raise _Verdict("neutral", "unknown canonicalization")
    names = tuple(name.strip(" \t\r\n").lower().encode() for name in tags["h"].split(":"))
    if b"from" not in names:
        raise _Verdict("permerror", "From is not signed")
    methods = [method.strip(" \t\r\n") for method in tags.get("q", "dns/txt").split(":")]
    if "dns/txt" not in methods:
        raise _Verdict("neutral", "no known query method")
    identity = _WHITE.sub("", tags.get("i", "")) or f"@{domain}"
    identity_domain = identity.rpartition("@")[2].lower()
    if "@" not in identity or not (identity_domain == domain or identity_domain.endswith("." + domain)):
        raise _Verdict("permerror", "i= is not of the domain d=")
    signed_s, expires_s = _number(tags, "t"), _number(tags, "x")
    if signed_s is not None and expires_s is not None and expires_s <= signed_s:
        raise _Verdict("neutral", "x= is not after t=")
    return _Signature(
        own=own,
        domain=domain,
        selector=tags["s"],
        algorithm=algorithm,
        header_form=cast(Canonicalization, header_form),
        body_form=cast(Canonicalization, body_form),
        names=names,
        identity=identity,
        signature=_base64(tags, "b"),
        body_hash=_base64(tags, "bh"),
        body_length=_number(tags, "l"),
        expires_s=expires_s,
    )


async def _keys(signature: _Signature, resolver: Resolver) -> list[_Key]:
    """The usable keys published for the signature, at least one (RFC 6376 §6.1.2)."""
    try:
        records = await resolver.txt(f"{signature.selector}._domainkey.{signature.domain}")
    except NameNotFound:
        raise _Verdict("permerror", "no key is published") from None
    except ResolverFailure:
        raise _Verdict("temperror", "the key could not be looked up") from None
    keys = []
    refusal = _Verdict("permerror", "no key is published")
    for record in records[:_MAX_KEY_RECORDS]:
        try:
            keys.append(_key(record, signature))
        except _Verdict as verdict:
            refusal = verdict
    if not keys:
        raise refusal
    return keys


def _key(record: bytes, signature: _Signature) -> _Key:
    """Read a key record (RFC 6376 §3.6.1)."""
    try:
        tags = _tags(record)
    except _Verdict as verdict:
        raise _Verdict("permerror", f"key record: {verdict.reason}") from None
    if "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"):
        raise _Verdict("permerror", "key record: unknown version")
    kind = tags.get("k", "rsa").lower()
    if kind != _KINDS[signature.algorithm]:
        raise _Verdict("permerror", "key is of another kind than the signature")
    if "h" in tags and "sha256" not in _listed(tags["h"]):
        raise _Verdict("permerror", "key does not allow the hash")
    if not {"*", "email"} & set(_listed(tags.get("s", "*"))):
        raise _Verdict("permerror", "key is not for mail")
    flags = _listed(tags.get("t", ""))
    if "s" in flags and signature.identity.rpartition("@")[2].lower() != signature.domain:
        raise _Verdict("permerror", "key forbids i= of a subdomain")
    text = _WHITE.sub("", tags.get("p", ""))
    if not text:
        raise _Verdict("permerror", "key is revoked" if "p" in tags else "key record has no key")
    public: object
    try:
        octets = base64.b64decode(text, validate=True)
        if kind == "ed25519" and len(octets) == 32:  # RFC 8463 §4
            public = ed25519.Ed25519PublicKey.from_public_bytes(octets)
        else:
            # SubjectPublicKeyInfo, or the bare RSAPublicKey of RFC 6376 §3.6.1.
            public = serialization.load_der_public_key(octets)
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise _Verdict("permerror", "key cannot be read") from None
    if isinstance(public, ed25519.Ed25519PublicKey) and kind == "ed25519":
        return _Key(public, 256, "y" in flags)
    if not isinstance(public, rsa.RSAPublicKey) or kind != "rsa":
        raise _Verdict("permerror", "key is of another kind than it says")
    if public.key_size < dkim.MINIMUM_RSA_BITS:
        raise _Verdict("policy", f"RSA key of {public.key_size} bits")  # RFC 8301 §3.2
    if public.key_size > _MAXIMUM_RSA_BITS:
        raise _Verdict("policy", f"RSA key of {public.key_size} bits is too long")
    return _Key(public, public.key_size, "y" in flags)


def _is_signed(public: PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            public.verify(signature, hashlib.sha256(data).digest())  # RFC 8463 §3
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _accept(message: _Message, place: int, signature: _Signature) -> None:
    """Refuse what verifies and yet vouches for too little of what is shown (RFC 6376 §8.2, §8.15).

    Signing a field once more than it occurs keeps others from adding one; few signers do it. So what they ought
    to have kept out is looked for here: a second field of a name that occurs once, a field above the signature
    that it does not cover, a Subject it does not cover, parts cut by another boundary than the signer's.
    """
    counts = _counts(message)
    if counts.get(b"from", 0) > 1:
        # The signature speaks of the lowest, a reader may be shown the highest.
        raise _Verdict("policy", "more than one From")
    for name in _ONCE:
        if counts.get(name, 0) > max(signature.names.count(name), 1):
            raise _Verdict("policy", f"more than one {_title(name)}, and not all of them signed")
    unsigned = {name for name in counts if name not in signature.names}
    if b"subject" in unsigned:  # RFC 6376 §5.4.1 asks for it, and next to nobody leaves it out
        raise _Verdict("policy", "Subject is not signed")
    for one in message.fields[:place]:
        name = raw_headers.name_of(one)
        if name in unsigned & _NOT_ABOVE:
            raise _Verdict("policy", f"{_title(name)} was added after signing")
    if b"content-type" in unsigned and _is_cut_anew(message):
        raise _Verdict("policy", "Content-Type is not signed and names another boundary than the body begins with")
    length = len(message.canonical_body(signature.body_form))
    if signature.body_length is not None and signature.body_length != length:
        # Whoever came by may have put the rest there.
        raise _Verdict("policy", f"signature covers {signature.body_length} of {length} octets of the body")


def _is_cut_anew(message: _Message) -> bool:
    """Whether something that looks like a delimiter stands before the first one the Content-Type names."""
    value = raw_headers.values(message.fields, b"content-type")[0]
    kind, parameters = parse_parameters(value.decode("latin-1"))
    boundary = parameters.get("boundary", "").encode("latin-1", "replace")
    if not kind.startswith("multipart/") or not boundary:
        return False
    first = (b"\r\n" + message.body).find(b"\r\n--" + boundary)
    return _DELIMITER.search(message.body, 0, max(first, 0)) is not None


def _counts(message: _Message) -> dict[bytes, int]:
    counts: dict[bytes, int] = {}
    for one in message.fields:
        name = raw_headers.name_of(one)
        counts[name] = counts.get(name, 0) + 1
    return counts


def _title(name: bytes) -> str:
    return name.decode().title()


def _warnings(message: _Message, signature: _Signature) -> tuple[str, ...]:
    counts = _counts(message)
    unsigned = [name.decode() for name in _ONCE if counts.get(name, 0) > signature.names.count(name)]
    found = [f"{name} is not signed" for name in unsigned]
    return tuple(found if signature.body_length is None else ["l= is used", *found])


def _number(tags: dict[str, str], tag: str) -> int | None:
    if tag not in tags:
        return None
    # RFC 6376 §3.5, l= and t=: digits, at most 76 of them.
    if not re.fullmatch(r"[0-9]{1,76}", tags[tag]):
        raise _Verdict("neutral", f"{tag}= is no number")
    return int(tags[tag])


def _base64(tags: dict[str, str], tag: str) -> bytes:
    try:
        return base64.b64decode(_WHITE.sub("", tags[tag]), validate=True)
    except (ValueError, binascii.Error):
        raise _Verdict("neutral", f"{tag}= is no base64") from None


def _listed(value: str) -> list[str]:
    return [word.strip(" \t\r\n").lower() for word in value.split(":")]


def _is_domain(name: str) -> bool:
    # U-labels may stand as they are in internationalised mail (RFC 8616 §5).
    return 0 < len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.rstrip(".").split("."))
