"""SPF records as data (RFC 7208 §4.6, §5, §6, §12), and macro strings (§7). Evaluating them is `spf.py`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal, cast

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Qualifier = Literal["+", "-", "~", "?"]
MechanismName = Literal["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"]

# RFC 7208 §7.1. Without c, r and t, which only explanations may use (§7.2).
_EXPAND = r"%(?:[%_-]|\{[slodiphvSLODIPHV](?:[0-9]*)[rR]?[.\-+,/_=]*\})"
_EXPAND_EXPLAINED = _EXPAND.replace("slodiphvSLODIPHV", "slodiphvcrtSLODIPHVCRT")
_MACRO_STRING = re.compile(rf"(?:[!-$&-~]|{_EXPAND})*")
_EXPLANATION = re.compile(rf"(?:[ -$&-~]|{_EXPAND_EXPLAINED})*")
_TOP_LABEL = re.compile(r"[0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9]")
_MACRO = re.compile(r"%(?:([%_-])|\{([A-Za-z])([0-9]*)([rR]?)([.\-+,/_=]*)\})")
_EXPAND_END = re.compile(r"%(?:[%_-]|\{[^{}%]*\})\Z")
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_DIRECTIVE = re.compile(r"([-+~?]?)([A-Za-z][A-Za-z0-9]*)(.*)", re.DOTALL)
_PREFIXES = re.compile(r"(?:/([0-9]+))?(?://([0-9]+))?\Z")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,2}")


class SpfSyntaxError(Exception):
    """The record does not follow the grammar: permerror (RFC 7208 §4.6)."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One directive.

    Attributes:
        qualifier: what a match means.
        name: lower case.
        domain: the domain-spec, macros unexpanded; "" for the current domain.
        prefix4: bits of an IPv4 address that count.
        prefix6: bits of an IPv6 address that count.
        network: of ip4 and ip6.
        text: the directive as written.
    """

    qualifier: Qualifier
    name: MechanismName
    domain: str
    prefix4: int
    prefix6: int
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    text: str


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A whole record: its directives in order, and the two modifiers that mean something."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str | None
    explanation: str | None


@dataclass(frozen=True, slots=True)
class MacroValues:
    """What macro letters stand for (RFC 7208 §7.2).

    Attributes:
        sender: s; its parts are l and o.
        domain: d, the domain whose record is being read.
        ip: i, c and v.
        helo: h.
        validated: p, "unknown" where there is none.
        receiver: r, our host name.
        at_s: t, seconds since 1970 UTC.
    """

    sender: str
    domain: str
    ip: IpAddress
    helo: str
    validated: str
    receiver: str
    at_s: int


def parse(text: str) -> SpfRecord:
    """Read a record that begins with `v=spf1`.

    Raises:
        SpfSyntaxError: anything in it is against the grammar, also after the part that would decide.

    Source: RFC 7208 §4.6.1, §12.
    """
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in text.split(" ")[1:]:
        if not term:
            continue
        if modifier := _MODIFIER.fullmatch(term):
            name = modifier[1].lower()
            if name in ("redirect", "exp"):
                if name in modifiers:  # RFC 7208 §6
                    raise SpfSyntaxError(f"{name}= occurs twice")
                modifiers[name] = _domain_spec(modifier[2])
            elif not _MACRO_STRING.fullmatch(modifier[2]):
                raise SpfSyntaxError(f"bad macro in {name}=")
        else:
            mechanisms.append(_mechanism(term))
    return SpfRecord(tuple(mechanisms), modifiers.get("redirect"), modifiers.get("exp"))


def is_explanation(text: str) -> bool:
    """Whether an explanation follows the grammar (RFC 7208 §6.2, §12)."""
    return _EXPLANATION.fullmatch(text) is not None


def uses_validated_name(text: str) -> bool:
    """Whether a macro string holds %{p}, which costs look-ups."""
    return any((match[2] or "") in "pP" and match[2] for match in _MACRO.finditer(text))


def expand(text: str, values: MacroValues) -> str:
    """Put the values in place of the macros (RFC 7208 §7.3). The text has passed `parse` or `is_explanation`."""
    return _MACRO.sub(lambda match: _expanded(match, values), text)


def _expanded(match: re.Match[str], values: MacroValues) -> str:
    if match[1]:
        return {"%": "%", "_": " ", "-": "%20"}[match[1]]
    letter, digits, reverse, delimiters = match[2], match[3], match[4], match[5] or "."
    local_part, _, sender_domain = values.sender.rpartition("@")
    value = {
        "s": values.sender,
        "l": local_part,
        "o": sender_domain,
        "d": values.domain,
        "i": _dotted(values.ip),
        "p": values.validated,
        "h": values.helo,
        "v": "in-addr" if values.ip.version == 4 else "ip6",
        "c": str(values.ip),
        "r": values.receiver,
        "t": str(values.at_s),
    }[letter.lower()]
    if digits or reverse or match[5]:
        parts = re.split(f"[{re.escape(delimiters)}]", value)
        if reverse:
            parts.reverse()
        if digits:
            parts = parts[-min(int(digits[-4:]) if len(digits) > 4 else int(digits), 128) :]
        value = ".".join(parts)
    if letter.isupper():
        # The unreserved of RFC 3986 §2.3 stay.
        value = re.sub(r"[^A-Za-z0-9._~-]", lambda m: "".join(f"%{octet:02X}" for octet in m[0].encode()), value)
    return value


def _dotted(ip: IpAddress) -> str:
    if ip.version == 4:
        return str(ip)
    return ".".join(f"{int(ip):032x}")  # RFC 7208 §7.3: nibbles


def _mechanism(term: str) -> Mechanism:
    match = _DIRECTIVE.fullmatch(term)
    if not match:
        raise SpfSyntaxError(f"no mechanism: {term[:40]}")
    qualifier = cast(Qualifier, match[1] or "+")
    name, rest = match[2].lower(), match[3]
    domain, prefix4, prefix6 = "", 32, 128
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    if name == "all":
        if rest:
            raise SpfSyntaxError("all takes nothing")
    elif name in ("include", "exists", "ptr"):
        if rest or name != "ptr":
            domain = _domain_spec(_argument(name, rest))
    elif name in ("a", "mx"):
        prefixes = _PREFIXES.search(rest)
        assert prefixes is not None  # an empty end always matches
        prefix4, prefix6 = _prefix(prefixes[1], 32), _prefix(prefixes[2], 128)
        rest = rest[: prefixes.start()]
        if rest:
            domain = _domain_spec(_argument(name, rest))
    elif name in ("ip4", "ip6"):
        network = _network(name, _argument(name, rest))
    else:
        raise SpfSyntaxError(f"unknown mechanism {name[:40]}")
    return Mechanism(qualifier, cast(MechanismName, name), domain, prefix4, prefix6, network, term)


def _argument(name: str, rest: str) -> str:
    if not rest.startswith(":") or len(rest) < 2:
        raise SpfSyntaxError(f"{name} needs an argument")
    return rest[1:]


def _prefix(digits: str | None, whole: int) -> int:
    if digits is None:
        return whole
    if not _NUMBER.fullmatch(digits) or int(digits) > whole:
        raise SpfSyntaxError(f"no prefix length: {digits[:10]}")
    return int(digits)


def _network(name: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, slash, digits = text.partition("/")
    try:
        if name == "ip4":
            return ipaddress.IPv4Network((address, _prefix(digits if slash else None, 32)), strict=False)
        if "%" in address:  # a zone is no part of the grammar
            raise SpfSyntaxError("no address")
        return ipaddress.IPv6Network((address, _prefix(digits if slash else None, 128)), strict=False)
    except ValueError:
        raise SpfSyntaxError(f"no {name} network: {text[:60]}") from None


def _domain_spec(text: str) -> str:
    """Check a domain-spec: a macro string that ends in a top label or a macro (RFC 7208 §7.1)."""
    if not _MACRO_STRING.fullmatch(text):
        raise SpfSyntaxError(f"no domain: {text[:60]}")
    for match in _MACRO.finditer(text):
        if match[3] and int(match[3][:4]) == 0:
            raise SpfSyntaxError("a macro keeps at least one part")
    if _EXPAND_END.search(text):
        return text
    head, dot, label = text.removesuffix(".").rpartition(".")
    del head
    if not dot or not _TOP_LABEL.fullmatch(label):
        raise SpfSyntaxError(f"no domain: {text[:60]}")
    return text
