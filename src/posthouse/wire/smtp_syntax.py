"""The grammar of SMTP: paths, addresses, extension parameters, xtext, replies.

Lenient where real senders are sloppy (a blank after the colon, no angle brackets, two dots in a row), strict
where leniency is a hole: no control character gets through, neither plainly nor encoded.

Source: RFC 5321 §4.1 (commands), §4.2 (replies), RFC 1870 (SIZE), RFC 3461 §4–5 (DSN), RFC 6531 (SMTPUTF8),
RFC 4954 §5 (AUTH=).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

from posthouse.kit.errors import Invalid, Malformed

# RFC 5321 §4.5.3.1.1 says 64, and asks for no limit where possible: VERP and forwarders write longer ones.
LOCAL_PART_MAX: Final = 256
DOMAIN_MAX: Final = 255  # RFC 5321 §4.5.3.1.2
ENVID_MAX: Final = 100  # RFC 3461 §4.4
ORCPT_MAX: Final = 500  # RFC 3461 §4.2
# 512 octets with the line end by RFC 5321 §4.5.3.1.5; less code, blanks and status.
REPLY_TEXT_MAX: Final = 480


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server says to one command.

    Attributes:
        code: 200–599, RFC 5321 §4.2.1. 421 always ends the session.
        status: enhanced status code such as `5.1.1` (RFC 3463), "" where none is due (RFC 2034 §4).
        text: for people; `\\n` starts a new line of the same reply. Control and non-ASCII characters are
            replaced on the wire, so text from elsewhere cannot forge a second reply.
        close: end the session after it, whatever the code.
    """

    code: int
    status: str
    text: str
    close: bool = False

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"a reply code is 200–599, not {self.code}")

    @property
    def is_positive(self) -> bool:
        """Whether the command was accepted."""
        return self.code < 400

    @property
    def ends_session(self) -> bool:
        """Whether the connection is closed after it (RFC 5321 §3.8)."""
        return self.close or self.code == 421

    def encode(self) -> bytes:
        """The reply as it goes over the wire, one or more lines of at most 512 octets, each with CRLF."""
        text, status = self.text, self.status
        blank = " " if status else ""
        if len(text) <= REPLY_TEXT_MAX and text.isascii() and text.isprintable():
            return f"{self.code} {status}{blank}{text}\r\n".encode("ascii")
        lines: list[str] = []
        for line in text.splitlines() or [""]:
            clean = "".join(c if c.isascii() and c.isprintable() else "?" for c in line)
            lines += [clean[i : i + REPLY_TEXT_MAX] for i in range(0, len(clean), REPLY_TEXT_MAX)] or [""]
        last = len(lines) - 1
        return "".join(
            f"{self.code}{'-' if i < last else ' '}{status}{blank}{line}\r\n" for i, line in enumerate(lines)
        ).encode("ascii")


@dataclass(frozen=True, slots=True)
class MailParameters:
    """What came after the path of MAIL.

    Attributes:
        size_bytes: declared size (RFC 1870), 0 for not declared.
        body: declared content (RFC 6152), "" for not declared.
        smtputf8: addresses and header fields may be UTF-8 (RFC 6531 §3.4).
        ret: how much a bounce returns (RFC 3461 §4.3), "" leaves it to us.
        envid: envelope id for bounces, decoded (RFC 3461 §4.4), "" for none.
        auth: the claimed submitter, decoded (RFC 4954 §5), "" for `<>`, None for not said. A claim, no more.
    """

    size_bytes: int = 0
    body: Literal["", "7BIT", "8BITMIME"] = ""
    smtputf8: bool = False
    ret: Literal["", "FULL", "HDRS"] = ""
    envid: str = ""
    auth: str | None = None


@dataclass(frozen=True, slots=True)
class RecipientParameters:
    """What came after the path of RCPT.

    Attributes:
        notify: when to send a DSN (RFC 3461 §4.1): NEVER alone, or some of SUCCESS, FAILURE, DELAY; empty
            means the default.
        orcpt: original recipient, `type;address`, decoded (RFC 3461 §4.2), "" for none.
    """

    notify: frozenset[str] = frozenset()
    orcpt: str = ""


NO_MAIL_PARAMETERS: Final = MailParameters()
NO_RECIPIENT_PARAMETERS: Final = RecipientParameters()

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
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*")
_XTEXT_ESCAPE = re.compile(r"\+([0-9A-Fa-f]{2})")
_UTF8_ESCAPE = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_UNQUOTE = re.compile(r"\\(.)")


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


def _parameters(text: str) -> dict[str, str | None]:
    """`KEYWORD[=value]` separated by blanks; keywords in upper case (RFC 5321 §4.1.2)."""
    found: dict[str, str | None] = {}
    for word in text.split():
        keyword, equals, value = word.partition("=")
        if not _KEYWORD.fullmatch(keyword) or (equals and not value) or not word.isprintable():
            raise Malformed(f"expected KEYWORD or KEYWORD=value, got {word[:40]!a}")
        keyword = keyword.upper()
        if keyword in found:
            raise Malformed(f"{keyword} was given twice")
        found[keyword] = value if equals else None
    return found


def parse_mail_parameters(text: str) -> MailParameters:
    """Read the parameters of MAIL.

    Raises:
        Malformed: a parameter is known and its value is wrong (501).
        Invalid: a parameter is not known here (555, RFC 5321 §4.1.1.11).
    """
    if not text:
        return NO_MAIL_PARAMETERS
    size_bytes, smtputf8 = 0, False
    body: Literal["", "7BIT", "8BITMIME"] = ""
    ret: Literal["", "FULL", "HDRS"] = ""
    envid, auth = "", None
    for keyword, value in _parameters(text).items():
        upper = (value or "").upper()
        if keyword == "SIZE":
            # RFC 1870 §6: up to 20 digits.
            if value is None or not (value.isascii() and value.isdigit() and len(value) <= 20):
                raise Malformed("SIZE is a number of octets of up to 20 digits")
            size_bytes = int(value)
        elif keyword == "BODY":
            if upper == "7BIT":
                body = "7BIT"
            elif upper == "8BITMIME":
                body = "8BITMIME"
            else:  # BINARYMIME is not offered: RFC 3030 §3
                raise Invalid("BODY is 7BIT or 8BITMIME here")
        elif keyword == "SMTPUTF8":
            if value is not None:
                raise Malformed("SMTPUTF8 takes no value")
            smtputf8 = True
        elif keyword == "RET":
            if upper == "FULL":
                ret = "FULL"
            elif upper == "HDRS":
                ret = "HDRS"
            else:
                raise Malformed("RET is FULL or HDRS")
        elif keyword == "ENVID":
            if not value or len(value) > ENVID_MAX:
                raise Malformed(f"ENVID is xtext of 1 to {ENVID_MAX} characters")
            envid = decode_xtext(value)
        elif keyword == "AUTH":
            if not value:
                raise Malformed("AUTH is <> or xtext")
            auth = "" if value == "<>" else decode_xtext(value)
        else:
            raise Invalid(f"the parameter {keyword[:40]} is not known here")
    return MailParameters(size_bytes, body, smtputf8, ret, envid, auth)


def parse_recipient_parameters(text: str) -> RecipientParameters:
    """Read the parameters of RCPT.

    Raises:
        Malformed: a parameter is known and its value is wrong (501).
        Invalid: a parameter is not known here (555).
    """
    if not text:
        return NO_RECIPIENT_PARAMETERS
    notify: frozenset[str] = frozenset()
    orcpt = ""
    for keyword, value in _parameters(text).items():
        if keyword == "NOTIFY":
            words = (value or "").upper().split(",")
            notify = frozenset(words)
            # RFC 3461 §4.1: NEVER stands alone.
            if notify != {"NEVER"} and not notify <= {"SUCCESS", "FAILURE", "DELAY"}:
                raise Malformed("NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY")
        elif keyword == "ORCPT":
            kind, semicolon, address = (value or "").partition(";")
            if not semicolon or not _KEYWORD.fullmatch(kind) or len(value or "") > ORCPT_MAX:
                raise Malformed(f"ORCPT is type;xtext of at most {ORCPT_MAX} characters")
            if kind.lower() == "utf-8":
                # RFC 6533 §3: utf-8-addr-xtext writes a character as \x{HEX}.
                address = _UTF8_ESCAPE.sub(_code_point, address)
                if not address.isprintable():
                    raise Malformed("ORCPT has a control character in it")
                orcpt = f"{kind};{address}"
            else:
                orcpt = f"{kind};{decode_xtext(address)}"
        else:
            raise Invalid(f"the parameter {keyword[:40]} is not known here")
    return RecipientParameters(notify, orcpt)


def _code_point(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise Malformed("ORCPT names no character")
    return chr(number)


def decode_xtext(text: str) -> str:
    """Decode xtext: `+2B` is `+`.

    The result goes into the header of a bounce, so an encoded line end is refused: it would start a field of
    the sender's choice there.

    Raises:
        Malformed: not xtext, or not printable ASCII once decoded.

    Source: RFC 3461 §4 and §4.4 ("printable").
    """
    if not _XTEXT.fullmatch(text):
        raise Malformed("not xtext: expected printable ASCII with + and = written as +HH")
    decoded = _XTEXT_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    if not (decoded.isascii() and decoded.isprintable()):
        raise Malformed("xtext stands for a character that is not printable ASCII")
    return decoded


def encode_xtext(text: str) -> str:
    """Encode printable ASCII as xtext (RFC 3461 §4)."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)
