"""The parameters of MAIL and RCPT, and xtext, the encoding of their values.

No control character gets through, neither plainly nor encoded.

Source: RFC 5321 §4.1.2, RFC 1870 (SIZE), RFC 6152 (BODY), RFC 3461 §4–5 (RET, ENVID, NOTIFY, ORCPT), RFC 6533 §3
(ORCPT in UTF-8), RFC 6531 (SMTPUTF8), RFC 4954 §5 (AUTH=).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from posthouse.kit.errors import Invalid, Malformed

ENVID_MAX: Final = 100  # RFC 3461 §4.4
ORCPT_MAX: Final = 500  # RFC 3461 §4.2

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*")
_XTEXT_ESCAPE = re.compile(r"\+([0-9A-Fa-f]{2})")
_UTF8_ESCAPE = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")


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
    """Encode printable ASCII as xtext (RFC 3461 §4).

    Raises:
        Malformed: a character of another kind, for which xtext has no form.
    """
    if not (text.isascii() and text.isprintable()):
        raise Malformed("xtext stands for printable ASCII only")
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


def encode_envid(envelope_id: str) -> str:
    """ENVID's value.

    Raises:
        Malformed: nothing it could stand for, or too long.
    """
    value = encode_xtext(envelope_id)
    if not 0 < len(value) <= ENVID_MAX:
        raise Malformed(f"ENVID is xtext of 1 to {ENVID_MAX} characters")
    return value


def encode_orcpt(original: str) -> str:
    """ORCPT's value for `type;address`, the inverse of how `parse_recipient_parameters` reads it.

    Raises:
        Malformed: no such form, or too long.

    Source: RFC 3461 §4.2; RFC 6533 §3 for the type `utf-8`.
    """
    kind, semicolon, address = original.partition(";")
    if not semicolon or not _KEYWORD.fullmatch(kind) or not kind.isascii() or not address:
        raise Malformed("an original recipient is type;address")
    if kind.lower() == "utf-8":
        if not address.isprintable():
            raise Malformed("an original recipient has a control character in it")
        value = "".join(c if "!" <= c <= "~" and c not in "+=\\" else f"\\x{{{ord(c):02X}}}" for c in address)
    else:
        value = encode_xtext(address)
    if len(kind) + 1 + len(value) > ORCPT_MAX:
        raise Malformed(f"ORCPT is type;xtext of at most {ORCPT_MAX} characters")
    return f"{kind};{value}"
