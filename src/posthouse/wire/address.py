"""Mail addresses: reading them strictly from callers and leniently from headers, and the form used as a key.

Obeys RFC 5322 §3.4 with its obsolete forms (§4.4), RFC 5321 §4.1.2 and §4.5.3.1 for sizes, RFC 6531 §3.3 and
RFC 6532 for UTF-8, RFC 5890–5892 for domain names. No control character survives any function here.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

from posthouse.kit.errors import Invalid
from posthouse.wire.headers import decode_text
from posthouse.wire.text import caseless, nfc, nfkc

# RFC 5321 §4.5.3.1.1–2 and RFC 3696 erratum 1690 (a path of 256 octets holds the two angle brackets).
MAX_LOCAL_OCTETS = 64
MAX_DOMAIN_OCTETS = 255
MAX_ADDRESS_OCTETS = 254
# RFC 1035 §2.3.4
MAX_LABEL_OCTETS = 63
# Our own: a display name longer than this is no name.
MAX_NAME_CHARS = 512
# Of one header field, this much is read for addresses: of some 1,500 people.
MAX_LIST_CHARS = 65_536


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox, as RFC 5322 §3.4 calls it.

    Attributes:
        email: the addr-spec, as written (`normalize` gives the key). May lack a domain when it comes
            from a sloppy header.
        name: the decoded display name; empty when there is none.
    """

    email: str
    name: str = ""


# Controls of ASCII and Latin-1, line separators, lone surrogates, the byte order mark, and the marks that
# turn the direction of text around (they make `moc.live@` read as something else).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SPACES = re.compile(r"\s+")

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"  # RFC 5322 §3.2.3
_DOT_ATOM = re.compile(rf"[{_ATEXT}\u00a1-\U0010ffff]+(?:\.[{_ATEXT}\u00a1-\U0010ffff]+)*")
_QUOTED_LOCAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAME_NEEDS_QUOTES = re.compile(r'[()<>\[\]:;@\\,."]')
_LDH_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")  # RFC 5890 §2.3.1
# Letters and marks nobody sees (Default_Ignorable_Code_Point), which no domain has (RFC 5892 §2.6).
_UNSEEN = frozenset(
    map(
        chr,
        [0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, *range(0xFE00, 0xFE10), 0xFFA0,
         *range(0xE0100, 0xE01F0)],
    )
)  # fmt: skip
_IDEOGRAPHIC_DOTS = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})  # RFC 3490 §3.1


def clean(text: str) -> str:
    """The text on one line: controls become blanks, runs of blanks one blank, ends stripped."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return _SPACES.sub(" ", _UNSAFE.sub(" ", text)).strip()


def is_ascii(email: str) -> bool:
    """Whether an address can travel without SMTPUTF8 (RFC 6531) once its domain is in A-labels."""
    return split(email)[0].isascii()


def split(email: str) -> tuple[str, str]:
    """Local part and domain, at the last `@`; the domain is empty when there is no `@`."""
    local, at, domain = email.rpartition("@")
    return (local, domain) if at else (email, "")


def untagged(key: str) -> str:
    """A normalised address without what follows `+` in its local part: mail to both comes to the same place."""
    local, at, domain = key.rpartition("@")
    return f"{local.partition('+')[0]}{at}{domain}"


def to_ascii(domain: str) -> str:
    """A domain in lower case with A-labels (`xn--…`), without a final dot.

    Raises:
        Invalid: a label is empty, too long or holds a character no host name may have.

    Source: RFC 5890 §2.3.2.1, RFC 5891 §4; the mapping is RFC 5895 §2.
    """
    return ".".join(_label(label, domain) for label in _labels(domain))


def _labels(domain: str) -> list[str]:
    if not domain.isascii():
        domain = nfc(nfkc(domain.translate(_IDEOGRAPHIC_DOTS)).lower())
    return domain.lower().removesuffix(".").split(".")


def _label(label: str, domain: str) -> str:
    if len(label) > MAX_LABEL_OCTETS:  # before encoding, which is quadratic; an A-label is longer still
        raise Invalid(f"{_show(domain)} is not a domain name.")
    if not label.isascii():
        for before, char in zip(" " + label, label, strict=False):
            # Letters, marks, digits; the rest of RFC 5892 Appendix A that real names use. A joiner after a letter of
            # ASCII joins nothing, and is not seen.
            is_odd = unicodedata.category(char)[0] not in "LMN" and char not in "-\u00b7\u200c\u200d\u30fb\u0375"
            if is_odd or char in _UNSEEN or (char in "\u200c\u200d" and before.isascii()):
                raise Invalid(f"The domain {_show(domain)} holds a character no host name may have.")
        label = "xn--" + label.encode("punycode").decode("ascii")
    if len(label) > MAX_LABEL_OCTETS or not _LDH_LABEL.fullmatch(label):
        raise Invalid(f"{_show(domain)} is not a domain name.")
    return label


def normalize(email: str) -> str:
    """The form of an address that is compared and stored as a key. Never raises.

    Both halves are case-folded (every mailbox here is case-insensitive, whatever RFC 5321 §2.4 allows), the
    domain is in A-labels, needless quotes are gone (RFC 5321 §4.1.2: they make no difference).
    """
    email = email.strip()
    if email.isascii() and '"' not in email:
        email = email.lower().removesuffix(".")
        return email if email.isprintable() and " " not in email else _UNSAFE.sub("", email).replace(" ", "")
    local, domain = split(_UNSAFE.sub("", email))
    if local.startswith('"') and local.endswith('"') and len(local) > 1:
        inner = re.sub(r"\\(.)", r"\1", local[1:-1])
        local = inner if _DOT_ATOM.fullmatch(inner) else _quote(inner)
    local = caseless(local)
    try:
        domain = to_ascii(domain) if domain else ""
    except Invalid:
        domain = ".".join(_labels(domain))
    return f"{local}@{domain}" if domain else local


def parse_address(text: str) -> Address:
    """Read one address given by a caller: `a@b`, `Name <a@b>`, `"Name, First" <a@b>`.

    Args:
        text: the caller's words; Unicode names, local parts and domains are welcome.

    Raises:
        Invalid: not an address; the sentence says what is wrong with it.

    Source: RFC 5322 §3.4 (without comments, groups and obsolete forms), RFC 6532 §3.2.
    """
    text = text.strip()
    if _UNSAFE.search(text):
        raise Invalid(f"The address {_show(text)} holds a control character.")
    if not text:
        raise Invalid("An address is empty.")
    name = ""
    spec = text
    if text.endswith(">"):
        head, bracket, spec = text[:-1].rpartition("<")
        if not bracket:
            raise Invalid(f"{_show(text)} has a '>' without a '<'.")
        name = _strict_name(head.strip(), text)
    _check_spec(spec, text)
    return Address(nfc(spec), name)


def _strict_name(head: str, text: str) -> str:
    if len(head) > MAX_NAME_CHARS:
        raise Invalid(f"The display name in {_show(text)} is longer than {MAX_NAME_CHARS} characters.")
    if head.startswith('"'):
        if not _QUOTED_LOCAL.fullmatch(head):
            raise Invalid(f"The quotes around the name in {_show(text)} do not match.")
        return clean(re.sub(r"\\(.)", r"\1", head[1:-1]))
    if "<" in head or ">" in head:
        raise Invalid(f"{_show(text)} is more than one address.")
    # A bare comma or colon is no valid phrase, but its meaning is clear once only one address is asked for.
    if "=?" in head:
        return clean(decode_text(head))
    return clean(head)


def _check_spec(spec: str, text: str) -> None:
    local, at, domain = spec.rpartition("@")
    if not at or not local or not domain:
        raise Invalid(f"{_show(text)} is not an address of the form name@domain.")
    if len(local.encode()) > MAX_LOCAL_OCTETS:
        raise Invalid(f"The part before the @ in {_show(text)} is longer than {MAX_LOCAL_OCTETS} octets.")
    if not _DOT_ATOM.fullmatch(local) and not _QUOTED_LOCAL.fullmatch(local):
        raise Invalid(f"The part before the @ in {_show(text)} is not valid.")
    if not local.isascii() and any(unicodedata.category(char) in ("Zs", "Cf", "Cn", "Co") for char in local):
        raise Invalid(f"The part before the @ in {_show(text)} holds an invisible character.")
    if domain.startswith("["):
        _check_literal(domain, text)
        size = len(domain)
    else:
        if domain.endswith("."):
            raise Invalid(f"The domain in {_show(text)} ends with a dot.")
        size = len(to_ascii(domain))
    if size > MAX_DOMAIN_OCTETS or len(local.encode()) + 1 + size > MAX_ADDRESS_OCTETS:
        raise Invalid(f"{_show(text)} is longer than {MAX_ADDRESS_OCTETS} octets.")


def _check_literal(domain: str, text: str) -> None:
    inner = domain[1:-1] if domain.endswith("]") else ""
    try:
        if inner[:5].lower() == "ipv6:":  # RFC 5321 §4.1.3
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        raise Invalid(f"The address literal in {_show(text)} is not an IP address.") from None


def _show(text: str) -> str:
    """The caller's words, safe and short enough for an error sentence."""
    text = clean(text[:200])
    return f"'{text[:80]}…'" if len(text) > 80 else f"'{text}'"


def format_address(address: Address) -> str:
    """`Name <a@b>` for people, in Unicode; the name in quotes where RFC 5322 §3.2.5 asks for them."""
    name = clean(address.name)
    email = _UNSAFE.sub("", address.email)
    if not name:
        return email
    return f"{quote_name(name)} <{email}>"


def quote_name(name: str) -> str:
    """A display name as an RFC 5322 phrase: bare where it may be, else a quoted-string."""
    return _quote(name) if _NAME_NEEDS_QUOTES.search(name) else name


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# --- Lenient reading of header fields ---------------------------------------------------------------

# One address with nothing odd around it: most headers of most mail.
_SIMPLE = re.compile(
    r"""\s*(?:"(?P<quoted>[^"\\=]*)"\s*(?=<)|(?P<bare>[^"\\<>()\[\],:;@]*)(?=<))?
        (?:<(?P<angle>[^\s"\\<>()\[\],:;@]+@[^\s"\\<>()\[\],:;@]+)>|(?P<plain>[^\s"\\<>()\[\],:;@]+@[^\s"\\<>()\[\],:;@]+))\s*""",
    re.VERBOSE,
)
_PIECE = re.compile(
    r"""(?P<space>\s+)
      | (?P<quoted>"(?:[^"\\]|\\.)*(?:(?P<closed>")|\\?\Z))
      | (?P<word>=\?[A-Za-z0-9_.:*+\-]+\?[BbQq]\?[^?\r\n]*\?=)
      | (?P<literal>\[[^\[\]\\\s]*\])
      | (?P<special>[(),:;<>])
      | (?P<atom>[^\s"(),:;<>\[=]+|.)""",
    re.VERBOSE | re.DOTALL,
)
# Entries that are encoded as a whole; each is read twice.
_MAX_ENCODED = 200
_COMMENT_STOP = re.compile(r"[()\\]")


def parse_address_list(header_text: str) -> tuple[Address, ...]:
    """Read the addresses of a From, To, Cc, Reply-To… header. Never raises, linear in its input.

    Groups are flattened, comments serve as a name where there is none, encoded words are decoded after the
    list was split (so an encoded comma splits nothing, RFC 2047 §5), routes are dropped, `;` separates like
    `,`, a missing bracket is supplied. An entry without any address that holds encoded words is decoded and read
    once more: some senders encode the whole, against RFC 2047 §5. An entry without any address is left out; one
    without a domain (`root`) is kept as it stands.

    Args:
        header_text: the raw value of the header, folded or not; of a longer one the first `MAX_LIST_CHARS` are read.

    Source: RFC 5322 §3.4 and §4.4, RFC 8621 §4.1.2.3.
    """
    simple = _SIMPLE.fullmatch(header_text)
    if simple is not None and "=?" not in (simple["angle"] or simple["plain"]):
        return (_simple(simple),)
    if "=?" not in header_text and len(header_text) <= MAX_LIST_CHARS:
        found = [_SIMPLE.fullmatch(each) for each in header_text.split(",")]
        if None not in found:
            return tuple(_simple(each) for each in found if each is not None)
    return tuple(_Reader().read(header_text))


def _simple(match: re.Match[str]) -> Address:
    name = match["quoted"] or match["bare"] or ""
    return Address(_clean_email(match["angle"] or match["plain"]), _decoded(name)[:MAX_NAME_CHARS])


def _clean_email(email: str) -> str:
    return email if email.isascii() and email.isprintable() else _UNSAFE.sub("", email)


class _Reader:
    """The state of reading one address list: what was gathered since the last separator."""

    __slots__ = ("addresses", "angle", "comments", "encoded", "has_at", "in_angle", "is_decoded", "pending", "phrase")

    def __init__(self, is_decoded: bool = False) -> None:
        self.is_decoded = is_decoded  # what is read stood in encoded words
        self.encoded = 0
        self.addresses: list[Address] = []
        self.pending = ""  # words before a comma, without an address: `Doe, John <j@x>` lacks its quotes
        self._clear()

    def _clear(self) -> None:
        self.phrase: list[tuple[str, bool]] = []  # pieces outside brackets, and whether they stood in quotes
        self.comments: list[str] = []
        self.angle: list[str] | None = None
        self.in_angle = False
        self.has_at = False  # outside quotes; in brackets, one that does not begin a route

    def read(self, text: str) -> list[Address]:
        position, end, quotes_end = 0, min(len(text), MAX_LIST_CHARS), True
        while position < end:
            match = _PIECE.match(text, position)
            assert match is not None  # the last alternative takes any character
            kind, piece, position = match.lastgroup, match.group(), match.end()
            if kind == "quoted" and not (quotes_end and len(piece) > 1 and match["closed"]):
                quotes_end, position = False, match.start() + 1  # a quote that nothing closes is no quote
            elif kind != "special":
                self._gather(piece, kind == "quoted")
            elif piece == "(":
                comment, position = _comment(text, position)
                self.comments.append(comment)
            elif piece == "<":
                # `Name <Other <a@b>`: what stood in the first bracket was no address.
                if self.angle:
                    self.phrase.append(("".join(self.angle), False))
                self.angle, self.in_angle, self.has_at = [], True, False
            elif piece == ">":
                self.in_angle = False
            elif piece == ":":
                self._colon()
            elif piece != "," or not self._in_route():
                self._finish(piece)
        if end == len(text):
            self._finish("")
        return self.addresses

    def _gather(self, piece: str, quoted: bool) -> None:
        if not quoted and "@" in (piece[1:] if self.in_angle else piece):
            self.has_at = True
        if not self.in_angle:
            self.phrase.append((piece, quoted))
        elif not piece.isspace():
            assert self.angle is not None
            self.angle.append(piece)

    def _colon(self) -> None:
        if self.in_angle:
            self.angle, self.has_at = [], False  # the end of an obs-route, RFC 5322 §4.4
        elif self.angle is None and self.has_at:
            self.phrase.append((":", False))  # `a@b: text` is no group
        else:
            self._clear()  # the name of a group, RFC 5322 §3.4
            self.pending = ""

    def _in_route(self) -> bool:
        return self.in_angle and not self.has_at and bool(self.angle) and (self.angle or "")[-1][0] == "@"

    def _finish(self, separator: str) -> None:
        if not (self.phrase or self.comments or self.pending or self.angle is not None):
            return
        phrase, comments = self.phrase, self.comments
        bracketed = self.angle is not None
        email = _clean_email("".join(self.angle or ()))
        if not email:
            email, phrase = _bare_email(phrase)
        hidden: list[Address] = []
        if "=?" in email or (not email and any("=?" in piece for piece, _ in phrase)):
            if not self.is_decoded and self.encoded < _MAX_ENCODED:
                self.encoded += 1
                hidden = _encoded_whole(email if bracketed else "".join(piece for piece, _ in self.phrase))
            email = ""  # encoded words are no part of an address (RFC 2047 §5)
        if hidden:
            self._flush()
            if len(hidden) == 1 and not hidden[0].name and bracketed:
                hidden = [Address(hidden[0].email, _name(phrase)[:MAX_NAME_CHARS])]
            self.addresses.extend(hidden)
        elif email:
            name = _name(phrase)
            if self.pending and bracketed and not any(quoted for _, quoted in phrase):
                name = f"{self.pending}, {name}" if name else self.pending
            else:
                self._flush()
            name = name or next((text for text in map(_decoded, comments) if text), "")
            self.addresses.append(Address(email, name[:MAX_NAME_CHARS]))
            self.pending = ""
        else:
            self._flush()
            self.pending = _name(phrase) if not any(quoted for _, quoted in phrase) else ""
            if separator != ",":
                self._flush()
        self._clear()

    def _flush(self) -> None:
        if self.pending and " " not in self.pending and "=?" not in self.pending:
            self.addresses.append(Address(_clean_email(self.pending)))
        self.pending = ""


def _comment(text: str, position: int) -> tuple[str, int]:
    """The content of a comment (nested ones included) that opened before `position`, and where it ends."""
    depth, start = 1, position
    while True:
        stop = _COMMENT_STOP.search(text, position)
        if stop is None:
            return text[start:], len(text)
        position = stop.end()
        if stop.group() == "\\":
            position += 1
        elif stop.group() == "(":
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return re.sub(r"\\(.)", r"\1", text[start : position - 1]), position


def _encoded_whole(text: str) -> list[Address]:
    """The addresses of an entry that stands in encoded words, address and all."""
    read = _Reader(is_decoded=True).read(decode_text(text))
    return [each for each in read if each.email.count("@") == 1 and "=?" not in each.email]


def _bare_email(phrase: list[tuple[str, bool]]) -> tuple[str, list[tuple[str, bool]]]:
    """An address that stands without brackets, and what of the phrase is left for the name."""
    runs: list[list[tuple[str, bool]]] = [[]]
    for piece in phrase:
        if piece[0].isspace():
            runs.append([])
        else:
            runs[-1].append(piece)
    runs = [run for run in runs if run]
    if len(runs) > 1 and not any(quoted for run in runs for _, quoted in run):
        # `john . doe @ example . org` is one address (obsolete blanks, RFC 5322 §4.4).
        text = " ".join("".join(text for text, _ in run) for run in runs)
        tight = text.replace(" .", ".").replace(". ", ".").replace(" @", "@").replace("@ ", "@")
        if " " not in tight and tight.count("@") == 1:
            return _clean_email(tight), []
    for index in range(len(runs) - 1, -1, -1):
        run = runs[index]
        if any("@" in text for text, quoted in run if not quoted):
            rest = [piece for other in runs[:index] + runs[index + 1 :] for piece in (*other, (" ", False))]
            return _clean_email("".join(text for text, _ in run)).removeprefix("mailto:"), rest
    if len(runs) == 1 and len(runs[0]) == 1 and runs[0][0][1]:
        inner = _unquote(runs[0][0][0])
        if "@" in inner and not _SPACES.search(inner):
            return _clean_email(inner), []  # `"a@b"`, the quotes of a sloppy client
    return "", phrase


def _name(phrase: list[tuple[str, bool]]) -> str:
    return _decoded("".join(_unquote(text) if quoted else text for text, quoted in phrase))


def _unquote(text: str) -> str:
    inner = text[1:-1] if len(text) > 1 and text.endswith('"') else text[1:]
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL) if "\\" in inner else inner


def _decoded(text: str) -> str:
    if not text:
        return ""
    if "=?" in text:
        text = decode_text(text)
    text = clean(text)
    # `'Name'` in single quotes, and names quoted twice, are the marks of some clients and not of the name.
    if len(text) > 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text
