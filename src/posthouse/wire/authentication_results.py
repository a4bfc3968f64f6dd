"""The Authentication-Results field (RFC 8601): writing ours, reading others', taking out forged ones.

A reader trusts the field by its first word alone, the authserv-id. So what arrives from outside under our
id is removed (§5) before ours is put on top.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.kit.errors import Malformed
from posthouse.wire import raw_headers
from posthouse.wire.dkim_verify import DkimResult
from posthouse.wire.dmarc import DmarcResult
from posthouse.wire.raw_headers import RawField
from posthouse.wire.spf import SpfResult

NAME = b"authentication-results"
_MAX_VALUE = 65_536
_WIDTH = 78  # RFC 5322 §2.1.1
_TOKEN = re.compile(r"[!#$%&'*+\-./0-9A-Z^_`a-z{|}~@:]+")  # RFC 2045 §5.1, with the "@" and ":" of addresses
# An unclosed quote runs to the end: were it tried again from every quote within, time would be quadratic.
_PIECE = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z))++', re.DOTALL)
_RESULT = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)\s*(?:/\s*([0-9]+)\s*)?=\s*([A-Za-z][A-Za-z0-9-]*)(?=\s|\Z)")
_PROPERTY = re.compile(
    r'\s*([A-Za-z][A-Za-z0-9-]*)\s*(?:\.\s*([A-Za-z0-9][A-Za-z0-9_-]*)\s*)?=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s"]+))'
)
_AUTHSERV_ID = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"=]+))\s*(?:([0-9]+)\s*)?\Z')


@dataclass(frozen=True, slots=True)
class MethodResult:
    """What one method found.

    Attributes:
        method: such as `spf`, `dkim`, `dmarc`, `iprev`; lower case.
        result: the method's word, such as `pass`; lower case.
        reason: for people; "" for none.
        properties: what was looked at, as (type and name, value), such as ("smtp.mailfrom", "example.com").
    """

    method: str
    result: str
    reason: str = ""
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """One field.

    Attributes:
        authserv_id: who says so, as written.
        version: 1 where not told. Others are not to be interpreted (RFC 8601 §2.5).
        results: in order; empty where nothing was checked.
    """

    authserv_id: str
    version: int = 1
    results: tuple[MethodResult, ...] = ()


def collect(
    *,
    spf: SpfResult | None = None,
    dkim: Sequence[DkimResult] = (),
    dmarcs: Sequence[DmarcResult] = (),
    iprev: tuple[str, str] | None = None,
    mail_from: str = "",
    helo: str = "",
) -> tuple[MethodResult, ...]:
    """Say the results of our own checks in the words of the field.

    Args:
        spf: of the mail's sender.
        dkim: every signature's.
        dmarcs: of each domain in From.
        iprev: result and client address of the reverse look-up (RFC 8601 §3).
        mail_from: the reverse-path, "" for null.
        helo: the name the client gave.

    Source: RFC 8601 §2.7, RFC 9989 §9.1, RFC 6008 §4 (header.b).
    """
    found = []
    if iprev is not None:
        found.append(MethodResult("iprev", iprev[0], properties=(("policy.iprev", iprev[1]),)))
    if spf is not None:
        looked_at = ("smtp.mailfrom", mail_from) if spf.identity == "mailfrom" else ("smtp.helo", helo)
        found.append(MethodResult("spf", spf.result, spf.reason, (looked_at,)))
    for one in dkim:
        properties = {
            "header.d": one.domain,
            "header.s": one.selector,
            "header.a": one.algorithm,
            "header.b": one.signature,
        }
        told = tuple((name, value) for name, value in properties.items() if value)
        found.append(MethodResult("dkim", one.result, one.reason, told if one.result != "none" else ()))
    for dmarc in dmarcs:
        from_domain = (("header.from", dmarc.from_domain),) if dmarc.from_domain else ()
        # RFC 9989 §9.1: policy.dmarc is the policy applied.
        policy = (("policy.dmarc", dmarc.policy),) if dmarc.record is not None else ()
        found.append(MethodResult("dmarc", dmarc.result, dmarc.reason, from_domain + policy))
    return tuple(found)


def build(results: AuthenticationResults) -> bytes:
    """The whole field with its line end, folded at 78 octets where it can be.

    Values that are no tokens are quoted; line ends and other control characters in them become spaces,
    octets outside ASCII stay UTF-8 only inside quotes (RFC 8601 §5, RFC 6532).
    """
    words: list[list[str]] = [[_value(results.authserv_id)]]
    if results.version != 1:
        words[0].append(str(results.version))
    for one in results.results:
        group = [f"{one.method}={one.result}"]
        if one.reason:
            group.append(f"reason={_quoted(one.reason)}")
        group += [f"{name}={_value(value)}" for name, value in one.properties]
        words.append(group)
    if not results.results:
        words.append(["none"])  # RFC 8601 §2.2
    line = "Authentication-Results:"
    lines = []
    for place, group in enumerate(words):
        if place:
            lines.append(line + ";")
            line = "\t" + group[0]
            group = group[1:]
        for word in group:
            if len(line) + 1 + len(word) > _WIDTH - 1:
                lines.append(line)
                line = "\t" + word
            else:
                line += " " + word
    return "\r\n".join([*lines, line]).encode("utf-8", "replace") + b"\r\n"


def parse(value: bytes) -> AuthenticationResults:
    """Read the value of a field, comments left out.

    Raises:
        Malformed: no authserv-id, or a result that cannot be read. Nothing of such a field is to be believed.

    Source: RFC 8601 §2.2.
    """
    text = _without_comments(value[:_MAX_VALUE].decode("utf-8", "replace"))
    first, *rest = _PIECE.findall(text) or [""]
    match = _AUTHSERV_ID.match(first)
    if not match:
        raise Malformed("An Authentication-Results field begins with who says so.")
    authserv_id = _unquoted(match[1]) if match[1] is not None else match[2]
    results = [_method_result(piece) for piece in rest if piece.strip() and piece.strip().lower() != "none"]
    version = int(match[3]) if match[3] and len(match[3]) < 10 else 1
    return AuthenticationResults(authserv_id, version, tuple(results))


def read_all(raw: bytes) -> tuple[AuthenticationResults, ...]:
    """Every field of a message that can be read, from the top. Which to believe is the caller's to decide."""
    found = []
    for value in raw_headers.values(raw_headers.split(raw)[0], NAME):
        try:
            found.append(parse(value))
        except Malformed:
            continue
    return tuple(found)


def is_forged(field: RawField, authserv_id: str) -> bool:
    """Whether a field of a stranger's claims to be ours (RFC 8601 §5).

    One that cannot be read does, too, where our id stands in it: some reader might read it. Check signatures before
    taking such a field out: one may cover it.

    Args:
        field: any field of the header.
        authserv_id: ours; letter case counts for nothing.
    """
    if raw_headers.name_of(field) != NAME:
        return False
    wanted = authserv_id.lower()
    try:
        return parse(field[1]).authserv_id.rstrip(".").lower() == wanted.rstrip(".")
    except Malformed:
        return wanted in field[1].decode("utf-8", "replace").lower()


def _method_result(piece: str) -> MethodResult:
    match = _RESULT.match(piece)
    if not match:
        raise Malformed("A result is written method=result.")
    position = match.end()
    reason, properties = "", []
    while found := _PROPERTY.match(piece, position):
        value = _unquoted(found[3]) if found[3] is not None else found[4]
        if found[2] is not None:
            properties.append((f"{found[1]}.{found[2]}".lower(), value))
        elif found[1].lower() == "reason":
            reason = value
        position = found.end()
    if piece[position:].strip():
        raise Malformed("A property is written type.name=value.")
    return MethodResult(match[1].lower(), match[3].lower(), reason, tuple(properties))


def _without_comments(text: str) -> str:
    """Comments, nested or not, become a space; within quotes a parenthesis is none (RFC 5322 §3.2.2)."""
    kept: list[str] = []
    depth = 0
    is_quoted = is_escaped = False
    for character in text:
        if is_escaped:
            is_escaped = False
        elif character == "\\" and (is_quoted or depth):
            is_escaped = True
        elif character == '"' and not depth:
            is_quoted = not is_quoted
        elif character == "(" and not is_quoted:
            depth += 1
        elif character == ")" and depth:
            depth -= 1
            kept.append(" ")
            continue
        if not depth:
            kept.append(character)
    return "".join(kept)


def _value(value: str) -> str:
    return value if _TOKEN.fullmatch(value) else _quoted(value)


def _quoted(value: str) -> str:
    clean = "".join(" " if c < " " or "\x7f" <= c <= "\x9f" else c for c in value)
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
