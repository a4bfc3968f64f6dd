"""The grammar of SMTP: names, addresses and paths.

Lenient where real senders are sloppy (a blank after the colon, no angle brackets, two dots in a row), strict
where leniency is a hole: no control character gets through.

Source: RFC 5321 §4.1.2 and §4.1.3, RFC 6531 §3.3 (SMTPUTF8).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from posthouse.kit.errors import Malformed

# RFC 5321 §4.5.3.1.1 says 64, and asks for no limit where possible: VERP and forwarders write longer ones.
LOCAL_PART_MAX: Final = 256
DOMAIN_MAX: Final = 255  # RFC 5321 §4.5.3.1.2
HELLO_MAX: Final = 255

# Anything printable but the specials, dots wherever they stand: RFC 5321's Dot-string and what some carriers
# hand out (`a..b@`, `a.@`).
_LOCAL = r'[^\x00-\x20"(),:;<>@\[\\\]\x7f]+'
_LABEL = r"[0-9A-Za-z_\x80-\U0010ffff](?:[0-9A-Za-z_\x80-\U0010ffff-]*[0-9A-Za-z_\x80-\U0010ffff])?"
# What nearly every path looks like, short enough for all limits by its form; the rest takes the longer way.
_ASCII_LABEL = r"[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
_ASCII_PATH = re.compile(rf"<([!#-'*+\--9=?A-Z^-~]{{1,64}}@{_ASCII_LABEL}(?:\.{_ASCII_LABEL}){{0,3}})>(?: +|$)")
_LOCAL_PART = re.compile(_LOCAL)
_DOT_STRING = re.compile(r'[^\x00-\x20"(),:;<>@\[\\\].\x7f]+(?:\.[^\x00-\x20"(),:;<>@\[\\\].\x7f]+)*')
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_QUOTED_LOCAL = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*)"@')
_SOURCE_ROUTE = re.compile(r"@[^\s,:<>@]+(?:,@[^\s,:<>@]+)*:")
_UNQUOTE = re.compile(r"\\(.)")


def parse_hello(argument: bytes) -> str:
    """Read what follows EHLO or HELO.

    One word there must be, and any will do: a wrong name is no ground to refuse (RFC 5321 §4.1.4).

    Raises:
        Malformed: none, more than one, or one that would do harm in a header.
    """
    try:
        name = argument.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not name or not name.isprintable() or " " in name or len(argument) > HELLO_MAX:
        raise Malformed("expected a host name or an address literal")
    return name


def parse_mailbox(text: str) -> str:
    """Read `local@domain` and write it in one way.

    Quotes that are not needed go (`"ann"@x` is `ann@x`, RFC 5321 §4.1.2), so that a list of addresses cannot
    be got around by quoting. Case is kept.

    Raises:
        Malformed: no address, or one over the limits.
    """
    if not text.isprintable():
        raise Malformed("the address has a control character in it")
    if quoted := _QUOTED_LOCAL.match(text):
        content = _UNQUOTE.sub(r"\1", quoted[1])
        domain = text[quoted.end() :]
        if _DOT_STRING.fullmatch(content):
            local = content
        else:
            local = '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'
    else:
        local, _, domain = text.rpartition("@")
        if not local:
            raise Malformed("expected local-part@domain")
        if not _LOCAL_PART.fullmatch(local):
            raise Malformed("the local part has a character that must be quoted")
    if len(local.encode()) > LOCAL_PART_MAX:
        raise Malformed(f"the local part is longer than {LOCAL_PART_MAX} octets")
    if domain.startswith("["):
        _check_literal(domain)
    elif not _DOMAIN.fullmatch(domain) or len(domain.encode()) > DOMAIN_MAX:
        raise Malformed("the domain is not a host name")
    elif any(len(label) > 63 for label in domain.split(".")):  # RFC 1035 §2.3.4
        raise Malformed("a label of the domain is longer than 63 characters")
    return f"{local}@{domain}"


def _check_literal(domain: str) -> None:
    """RFC 5321 §4.1.3; a literal of any other tag than IPv6 is nothing we could deliver to."""
    inner = domain[1:-1] if domain.endswith("]") else ""
    try:
        if inner[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        raise Malformed("the address literal is neither [IPv4] nor [IPv6:address]") from None


def parse_path(text: str) -> tuple[str, str]:
    """Read a path and what follows it.

    Source routes are taken and ignored (RFC 5321 §4.1.1.3, appendix C). Angle brackets may be missing.

    Returns:
        The address ("" for the null path; `postmaster` may stand without a domain, RFC 5321 §4.5.1), and the
        parameters' text.

    Raises:
        Malformed: no path.
    """
    text = text.lstrip(" ")
    if plain := _ASCII_PATH.match(text):
        return plain[1], text[plain.end() :]
    if text.startswith("<"):
        start = 1
        if route := _SOURCE_ROUTE.match(text, 1):
            start = route.end()
        quoted = _QUOTED_LOCAL.match(text, start)
        end = text.find(">", quoted.end() if quoted else start)
        if end < 0:
            raise Malformed("the path has no closing angle bracket")
        mailbox, rest = text[start:end].strip(" "), text[end + 1 :]
        if rest and not rest.startswith(" "):
            raise Malformed("expected a blank after the path")
    else:
        quoted = _QUOTED_LOCAL.match(text)
        end = text.find(" ", quoted.end() if quoted else 0)
        mailbox, rest = (text, "") if end < 0 else (text[:end], text[end:])
        if not mailbox:
            raise Malformed("expected a path in angle brackets")
    if not mailbox:
        return "", rest.strip(" ")
    if mailbox.lower() == "postmaster":
        return "postmaster", rest.strip(" ")
    return parse_mailbox(mailbox), rest.strip(" ")
