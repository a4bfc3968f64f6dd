"""Bytes into text, whatever they claim to be: charsets and transfer encodings as real mail has them.

Obeys RFC 2045 §6 (transfer encodings) and RFC 2046 §4.1.2 (charset names, case-insensitive). Where a label is
known to be used for a wider set (`iso-8859-1` for windows-1252, `gb2312` for gb18030), the wider set is read.
Nothing here fails.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from encodings.aliases import aliases

from posthouse.wire import damage, japanese

# Codecs that are no character sets, or whose decoding is not linear.
_NOT_TEXT = {
    "base64_codec",
    "bz2_codec",
    "hex_codec",
    "quopri_codec",
    "rot_13",
    "uu_codec",
    "zlib_codec",
    "mbcs",
}
# Names Python knows that have no alias of their own.
_UNALIASED = (
    "utf_8_sig", "utf_16_le", "utf_16_be", "utf_32_le", "utf_32_be", "koi8_u", "koi8_t", "kz1048", "cp720",
    "cp737", "cp856", "cp874", "cp875", "cp1006", "cp1125", "mac_greek", "mac_cyrillic", "mac_turkish",
    "mac_latin2", "mac_iceland", "mac_croatian", "mac_romanian", "mac_farsi", "mac_arabic",
)  # fmt: skip
_NAMED: dict[str, str] = {
    **{alias: codec for alias, codec in aliases.items() if codec not in _NOT_TEXT},
    **{codec: codec for codec in aliases.values() if codec not in _NOT_TEXT},
    **{codec: codec for codec in _UNALIASED},
    # What senders write, and what they mean.
    "utf8mb4": "utf_8",
    "csutf8": "utf_8",
    "utf_8mb4": "utf_8",
    "unicode": "utf_8",
    "unicode_1_1_utf_8": "utf_8",
    "unicode_1_1_utf_7": "utf_7",
    "x_unicode_2_0_utf_7": "utf_7",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_6_e": "iso8859_6",
    "ks_c_5601": "cp949",
    "ks_c_5601_1989": "cp949",
    "x_windows_949": "cp949",
    "x_gbk": "gb18030",
    "cn_gb": "gb18030",
    "gb_2312": "gb18030",
    "csgb2312": "gb18030",
    "csbig5": "big5",
    "cseuckr": "euc_kr",
    "csksc56011987": "euc_kr",
    "csiso2022jp": "iso2022_jp",
    "cseucpkdfmtjapanese": "euc_jp",
    "cswindows31j": "cp932",
    "cn_big5": "big5",
    "x_x_big5": "big5",
    "x_sjis": "cp932",
    "x_ms_cp932": "cp932",
    "ms_kanji": "cp932",
    "windows_31j": "cp932",
    "x_euc_jp": "euc_jp",
    "eucjp_ms": "euc_jp",
    "eucjp_win": "euc_jp",
    "cp51932": "euc_jp",
    "cp50220": "iso2022_jp",
    "cp50221": "iso2022_jp",
    "cp50222": "iso2022_jp",
    "iso_2022_jp_ms": "iso2022_jp",
    "windows_874": "cp874",
    "iso_8859_11": "cp874",
    "iso8859_11": "cp874",
    "x_mac_roman": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic",
    "macintosh": "mac_roman",
    "koi8": "koi8_r",
    "koi": "koi8_r",
    "l1": "latin_1",
    "iso88591": "latin_1",
    "iso_8859_1_windows_1252": "cp1252",
    "x_ansi": "cp1252",
    "ansi": "cp1252",
}
# What is read where a codec is named: the wider set that senders on Windows mean by the narrower one's name. The
# 0x80–0x9F of the ISO sets are never meant as controls.
_WIDER = {
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "iso2022_jp": "iso2022_jp_ext",
    "iso2022_jp_1": "iso2022_jp_ext",
    "iso2022_jp_3": "iso2022_jp_ext",
}
_CODECS = {name: _WIDER.get(codec, codec) for name, codec in _NAMED.items()}
_CODECS |= {name.replace("_", ""): codec for name, codec in _CODECS.items() if name.replace("_", "") not in _CODECS}
_NO_NAME = re.compile(r"[^a-z0-9]+")
_BAD = re.compile("[\x00\ud800-\udfff]")
# Codecs that may hand out lone surrogates.
_LOOSE = ("utf_7", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be")
_CHINESE_KOREAN = ("gb18030", "big5hkscs", "cp949")


def codec_of(charset: str | None) -> str | None:
    """The Python codec for a charset label; None for no or an unknown label, and for plain ASCII."""
    if not charset:
        return None
    if charset in ("utf-8", "UTF-8"):
        return "utf_8"
    if len(charset) > 64:
        return None
    codec = _CODECS.get(_NO_NAME.sub("_", charset.lower()).strip("_"))
    if codec is None:
        codec = _CODECS.get(_NO_NAME.sub("", charset.lower()).removeprefix("charset"))
    return None if codec == "ascii" else codec


def decode_bytes(data: bytes, charset: str | None = None) -> str:
    """Text out of bytes. Never fails; U+0000 and lone surrogates come out as U+FFFD.

    The declared charset is tried first, then UTF-8, then windows-1252. Where the octets are valid UTF-8 and more
    than chance would make of them, they are UTF-8 whatever was declared. What fits but for a few octets keeps its
    say, with U+FFFD for those; a set of seven bits that fails is never taken for UTF-8.
    """
    if data.isascii() and (charset is None or charset in ("utf-8", "us-ascii", "UTF-8")):
        if _ESCAPE in data and _JIS.search(data):
            return japanese.decode_iso_2022(data)
        text = data.decode("ascii")
        return text.replace("\0", "\ufffd") if "\0" in text else text
    codec = codec_of(charset)
    text = _decode(data, codec)
    if "\0" in text or codec in _LOOSE:
        text = _BAD.sub("\ufffd", text)
    return text


_ESCAPE = b"\x1b"
# JIS X 0208 designated: nobody writes this who does not mean ISO-2022-JP, whatever the label says.
_JIS = re.compile(rb"\x1b\$[@B](?:[!-~]{2})")


def _decode(data: bytes, codec: str | None) -> str:
    is_ascii = data.isascii()
    if _ESCAPE in data and codec != "iso2022_jp_ext" and is_ascii and _JIS.search(data):
        codec = "iso2022_jp_ext"
    if codec is None:
        return _unlabelled(data)
    if codec == "iso2022_jp_ext":
        if is_ascii or b"\x1b$" in data:
            return japanese.decode_iso_2022(data)
    elif codec != "utf_8":
        if not is_ascii and codec not in _LOOSE and _is_utf8(data, codec):
            return data.decode("utf-8")
        try:
            text = data.decode(codec)
        except (UnicodeError, LookupError):
            pass
        else:
            return _unless_kana(data, text) if codec == "cp932" else text
        if is_ascii:  # seven bits and damaged: UTF-7, HZ, ISO-2022-KR
            return data.decode(codec, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    return _damaged(data, codec)


_KANA = re.compile("[\uff61-\uff9f]")


def _unless_kana(data: bytes, text: str) -> str:
    """EUC-JP read as Shift_JIS is half-width katakana, which nobody writes a text in."""
    if len(_KANA.findall(text[:_JUDGED_BYTES])) * 2 > len(text[:_JUDGED_BYTES]):
        try:
            return data.decode("euc_jp")
        except UnicodeDecodeError:
            pass
    return text


# UTF-8 by chance: pairs of two high octets are, in one of thirteen cases, characters of UTF-8 as well.
_CHANCE_OCTETS = 8


def _is_utf8(data: bytes, codec: str) -> bool:
    """Whether octets that call themselves something else are UTF-8. Fails at the first character that is not."""
    if codec == "cp874":  # Thai vowels and consonants fall into the pattern of three octets
        return False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if codec in _CHINESE_KOREAN:
        return len(data.translate(None, _ASCII)) > _CHANCE_OCTETS
    return text.isprintable() or not _C1_CONTROLS.search(text)


_ASCII = bytes(range(128))
_C1_CONTROLS = re.compile("[\x80-\x9f]")


def _unlabelled(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if _is_damage(data[:_JUDGED_BYTES].decode("utf-8", "replace")):
        return data.decode("utf-8", "replace")
    return _western(data)


# What is tried where a declared set does not fit: what else is called by its name.
_SIBLINGS = {
    "cp932": ("euc_jp",),
    "euc_jp": ("cp932",),
    "iso2022_jp_ext": ("euc_jp", "cp932"),
    "hz": ("gb18030",),
    "iso2022_kr": ("cp949",),
}
# Of seven bits: what has eight is the other.
_SEVEN_BITS = ("iso2022_jp_ext", "hz", "iso2022_kr")


def _damaged(data: bytes, codec: str) -> str:
    """Octets that fit neither the declared charset nor UTF-8 as a whole."""
    if codec == "cp1252":
        return _western(data)
    siblings = _SIBLINGS.get(codec, ())
    try:
        nearest = siblings[-1] if codec in _SEVEN_BITS else codec
        if _is_damage(damage.decode(data[:_JUDGED_BYTES], nearest)):
            return damage.decode(data, nearest)
    except (UnicodeError, LookupError):
        return _western(data)
    for sibling in siblings:
        try:
            return data.decode(sibling)
        except UnicodeError:
            continue
    return _western(data)


_DAMAGE = re.compile("\ufffd+")
# By how much of a text it is judged.
_JUDGED_BYTES = 65_536


def _is_damage(text: str) -> bool:
    """Whether a text has a few broken characters; else its charset is wrongly named.

    One in forty of all is damage, and so is one for two characters that came out well and are no ASCII: several
    octets do not make a character by chance.
    """
    bad = len(_DAMAGE.findall(text))
    if bad * 40 <= len(text):
        return True
    good = len(text.encode("ascii", "ignore")) + text.count("\ufffd")
    return len(text) - good >= 2 * bad


def _western(data: bytes) -> str:
    """windows-1252, its five holes filled as C1 controls the way browsers do."""
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1").translate(_C1)


_C1 = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}

# --- The charset an HTML text names itself ----------------------------------------------------------

_META = re.compile(rb"<meta[^>]{0,500}?charset\s{0,20}=\s{0,20}[\"']?\s{0,20}([A-Za-z0-9_:.+-]{2,40})", re.IGNORECASE)
# HTML Living Standard §13.2.3.2 looks at 1,024 octets; mail has long styles before it.
_META_BYTES = 8_192


def html_charset(data: bytes) -> str | None:
    """The charset that HTML names in a `<meta>`; None when it names none we know.

    Source: HTML Living Standard §13.2.3.2, "prescan a byte stream". One of 16-bit units cannot be true where the
    tag itself could be read, and is UTF-8.
    """
    found = _META.search(data, 0, _META_BYTES)
    if found is None:
        return None
    label = found.group(1).decode("ascii").lower()
    codec = codec_of(label)
    return None if codec is None else "utf-8" if codec.startswith(("utf_16", "utf_32")) else label


def decode_html(data: bytes, charset: str | None) -> str:
    """As `decode_bytes`; what declares no charset, or one that nobody knows, is asked for its `<meta>`."""
    return decode_bytes(data, charset_of_html(data, charset))


def charset_of_html(data: bytes, charset: str | None) -> str | None:
    """The charset to read HTML in: the declared one, else that of its `<meta>`."""
    if data.isascii() or codec_of(charset) is not None:
        return charset
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return html_charset(data) or charset
    return charset


# --- Transfer encodings ----------------------------------------------------------------------------

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_BASE64_OR_BREAK = _BASE64 + b"=\r\n"
_PADDING = re.compile(rb"=[=\s]*")
_MAX_SEGMENTS = 10_000


# A decoder lets no other thread in until it is done: by a quarter of a megabyte, it soon is.
_CHUNK = 262_144


def decode_base64(data: bytes) -> bytes:
    """Base64 with whatever else is in it ignored (RFC 2045 §6.8), missing padding supplied.

    Encoded pieces that were put one behind the other, each with its padding, are all read; anything else behind
    the padding is none of it, such as the footer a mailing list put there in clear text.
    """
    tail = data.rstrip(b"= \t\r\n")
    if b"=" not in tail:
        if len(data) > _CHUNK:
            return _segment(tail)
        try:
            return binascii.a2b_base64(data)
        except binascii.Error:
            return _segment(tail)
    first, *rest = _PADDING.split(tail, maxsplit=1)
    if rest and rest[0].translate(None, _BASE64_OR_BREAK):
        return _segment(first)
    return b"".join(map(_segment, _PADDING.split(tail, maxsplit=_MAX_SEGMENTS)))


def _segment(data: bytes) -> bytes:
    if len(data) <= _CHUNK:
        return _letters(data.translate(None, _NOT_BASE64))
    out, left = [], b""
    for start in range(0, len(data), _CHUNK):
        letters = left + data[start : start + _CHUNK].translate(None, _NOT_BASE64)
        whole = len(letters) & ~3
        out.append(binascii.a2b_base64(letters[:whole]))
        left = letters[whole:]
    return b"".join([*out, _letters(left)])


def _letters(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:
        letters = letters[:-1]  # six bits are no octet
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


# Only where a run of blanks begins, and never back into it: linear.
_TRAILING_BLANKS = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")


def decode_quoted_printable(data: bytes) -> bytes:
    """Quoted-printable; what is no valid escape stays as it stands (RFC 2045 §6.7).

    Blanks at the end of an encoded line are the transport's and go, also behind the `=` of a soft break (rule 3).
    """
    if len(data) > _CHUNK:
        return b"".join(decode_quoted_printable(each) for each in _cut(data))
    if b" \r\n" in data or b" \n" in data or b"\t\r\n" in data or b"\t\n" in data or data.endswith((b" ", b"\t")):
        data = _TRAILING_BLANKS.sub(b"", data)
    return binascii.a2b_qp(data)


def _cut(data: bytes) -> Iterator[bytes]:
    """Pieces of quoted-printable: whole lines, and of a line that does not end, whole escapes."""
    start = 0
    while start < len(data):
        end = start + _CHUNK
        if end < len(data):
            line_end = data.rfind(b"\n", start, end) + 1
            if line_end:
                end = line_end
            else:
                while data[end - 1] in b"= \t\r" or data[end - 2] == 0x3D:  # an escape, a break or blanks go on
                    end -= 1
                    if end - start < _CHUNK // 2:  # nothing but such
                        break
        yield data[start:end]
        start = end


_UU_BEGIN = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} ?[^\n]*\n", re.MULTILINE)
_UU_LINE = re.compile(rb"[^\r\n]+")


def decode_uuencode(data: bytes) -> bytes:
    """The first file of uuencoded data; without a `begin` line, the bytes as they are."""
    begin = _UU_BEGIN.search(data)
    if begin is None:
        return data
    if begin.group().startswith(b"begin-base64"):
        return decode_base64(data[begin.end() :].partition(b"\n====")[0])
    out = []
    for match in _UU_LINE.finditer(data, begin.end()):
        line = match.group()
        if line in (b"end", b"`"):
            break
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Some encoders write more characters than the length says.
            size = ((line[0] - 32) & 63) * 4 // 3 + 3
            try:
                out.append(binascii.a2b_uu(line[:size]))
            except binascii.Error:
                continue
    return b"".join(out)


def decode_transfer(data: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding. Never fails; an unknown one leaves the bytes alone (RFC 2045 §6.4).

    Args:
        data: the encoded body.
        encoding: in lower case.
    """
    if encoding == "base64":
        return decode_base64(data)
    if encoding == "quoted-printable":
        return decode_quoted_printable(data)
    if encoding in ("uuencode", "x-uuencode", "x-uue", "uue"):
        return decode_uuencode(data)
    return data
