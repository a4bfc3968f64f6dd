"""Bytes into text, whatever they claim to be: charsets and transfer encodings as real mail has them.

Obeys RFC 2045 §6 (transfer encodings) and RFC 2046 §4.1.2 (charset names, case-insensitive). Where a label is
known to be used for a wider set (`iso-8859-1` for windows-1252, `gb2312` for gb18030), the wider set is read.
Nothing here fails.
"""

from __future__ import annotations

import binascii
import re
from encodings.aliases import aliases

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
_CODECS: dict[str, str] = {
    **{alias: codec for alias, codec in aliases.items() if codec not in _NOT_TEXT},
    **{codec: codec for codec in aliases.values() if codec not in _NOT_TEXT},
    **{codec: codec for codec in _UNALIASED},
    # What senders write, and what they mean.
    "utf8mb4": "utf_8",
    "utf_8mb4": "utf_8",
    "unicode": "utf_8",
    "unicode_1_1_utf_8": "utf_8",
    "unicode_1_1_utf_7": "utf_7",
    "x_unicode_2_0_utf_7": "utf_7",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_6_e": "iso8859_6",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "chinese": "gb18030",
    "cn_gb": "gb18030",
    "big5": "big5hkscs",
    "x_x_big5": "big5hkscs",
    "shift_jis": "cp932",
    "sjis": "cp932",
    "x_sjis": "cp932",
    "windows_31j": "cp932",
    "iso_2022_jp": "iso2022_jp_ext",
    "iso2022_jp": "iso2022_jp_ext",
    "x_euc_jp": "euc_jp",
    "windows_874": "cp874",
    "tis_620": "cp874",
    "iso_8859_11": "cp874",
    "iso8859_11": "cp874",
    "iso_8859_9": "cp1254",
    "x_mac_roman": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic",
    "macintosh": "mac_roman",
    "koi8": "koi8_r",
    "koi": "koi8_r",
    # Supersets: the 0x80–0x9F of these are never meant as controls.
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso_8859_1": "cp1252",
    "latin1": "cp1252",
    "l1": "cp1252",
    "iso88591": "cp1252",
    "iso_8859_1_windows_1252": "cp1252",
    "x_ansi": "cp1252",
    "ansi": "cp1252",
}
_CODECS |= {name.replace("_", ""): codec for name, codec in _CODECS.items() if name.replace("_", "") not in _CODECS}
_NO_NAME = re.compile(r"[^a-z0-9]+")
_BAD = re.compile("[\x00\ud800-\udfff]")
# Codecs that may hand out lone surrogates.
_LOOSE = ("utf_7", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be")


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

    The declared charset is tried first, then UTF-8, then windows-1252; a declared charset that fits but for a
    few octets keeps its say, with U+FFFD for those.
    """
    if data.isascii() and (charset is None or charset in ("utf-8", "us-ascii", "UTF-8")):
        text = data.decode("ascii")
        return text.replace("\0", "\ufffd") if "\0" in text else text
    codec = codec_of(charset)
    text = _decode(data, codec)
    if "\0" in text or codec in _LOOSE:
        text = _BAD.sub("\ufffd", text)
    return text


def _decode(data: bytes, codec: str | None) -> str:
    if codec is not None and codec != "utf_8":
        try:
            return data.decode(codec)
        except (UnicodeError, LookupError):
            pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if codec is not None:
        try:
            text = data.decode(codec, "replace")
        except (UnicodeError, LookupError):
            pass
        else:
            # One broken character in forty is damage; more is a wrong label.
            if codec == "cp1252" or text.count("\ufffd") * 40 <= len(text):
                return text if codec != "cp1252" else _western(data)
    return _western(data)


def _western(data: bytes) -> str:
    """windows-1252, its five holes filled as C1 controls the way browsers do."""
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1").translate(_C1)


_C1 = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}

# --- Transfer encodings ----------------------------------------------------------------------------

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_BASE64_OR_BREAK = _BASE64 + b"=\r\n"
_PADDING = re.compile(rb"=[=\s]*")
_MAX_SEGMENTS = 10_000


def decode_base64(data: bytes) -> bytes:
    """Base64 with whatever else is in it ignored (RFC 2045 §6.8), missing padding supplied.

    Encoded pieces that were put one behind the other, each with its padding, are all read; anything else behind
    the padding is none of it, such as the footer a mailing list put there in clear text.
    """
    tail = data.rstrip(b"= \t\r\n")
    if b"=" not in tail:
        try:
            return binascii.a2b_base64(data)
        except binascii.Error:
            return _segment(tail)
    first, *rest = _PADDING.split(tail, maxsplit=1)
    if rest and rest[0].translate(None, _BASE64_OR_BREAK):
        return _segment(first)
    return b"".join(map(_segment, _PADDING.split(tail, maxsplit=_MAX_SEGMENTS)))


def _segment(data: bytes) -> bytes:
    letters = data.translate(None, _NOT_BASE64)
    if len(letters) % 4 == 1:
        letters = letters[:-1]  # six bits are no octet
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def decode_quoted_printable(data: bytes) -> bytes:
    """Quoted-printable; what is no valid escape stays as it stands (RFC 2045 §6.7)."""
    return binascii.a2b_qp(data)


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
