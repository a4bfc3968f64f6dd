"""Charsets and transfer encodings as real mail has them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.charset import codec_of, decode_bytes, decode_transfer


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (b"abc", None, "abc"),
        ("é".encode(), None, "é"),
        (b"\xe9", None, "é"),
        (b"\xe9", "utf-8", "é"),
        (b"\x93a\x94", "iso-8859-1", "“a”"),
        (b"\x81\x93", "iso-8859-1", "\ufffd“"),
        ("日本".encode("shift_jis"), "x-sjis", "日本"),
        ("日本".encode("iso2022_jp"), "ISO-2022-JP", "日本"),
        ("한국".encode("cp949"), "ks_c_5601-1987", "한국"),
        ("汉字".encode("gb18030"), "gb2312", "汉字"),
        ("привет".encode("koi8-u"), "KOI8-U", "привет"),
        ("é".encode(), "no-such-charset", "é"),
        ("é".encode(), "us-ascii", "é"),
        (b"a\x00b", None, "a\ufffdb"),
        (b"+2AA-", "utf-7", "\ufffd"),
        (b"\xff\xfea\x00", "utf-16", "a"),
        (b"616263", "hex", "616263"),
        (b"abc", "zip", "abc"),
        (b"abc-", "punycode", "abc-"),
        (b"\\x41", "unicode_escape", "\\x41"),
    ],
)
def test_bytes_become_text(data: bytes, charset: str | None, text: str) -> None:
    assert decode_bytes(data, charset) == text


@given(st.binary(), st.text() | st.sampled_from(["utf-7", "utf-16", "iso-2022-kr", "hz", "gb2312", "big5", "cp1252"]))
def test_decoding_never_fails_and_leaves_no_nul_or_surrogate(data: bytes, charset: str) -> None:
    text = decode_bytes(data, charset)
    assert "\0" not in text
    text.encode("utf-8")


def test_every_known_label_names_a_text_codec() -> None:
    from posthouse.wire import charset

    for label in charset._CODECS:
        if codec_of(label) is not None:
            decode_bytes(b"abc \xe9", label)


@pytest.mark.parametrize(
    ("data", "encoding", "content"),
    [
        (b"aGVsbG8=", "base64", b"hello"),
        (b"aGVs\r\nbG8", "base64", b"hello"),
        (b"a-G!V\x00sbG8", "base64", b"hello"),
        (b"aGVsbG8=\r\naGVsbG8=", "base64", b"hellohello"),
        (b"aGVsbG8=\r\n____\r\nA list: http://x.test/\r\n", "base64", b"hello"),
        (b"aGVsb", "base64", b"hel"),
        (b"", "base64", b""),
        (b"a=3Db=\r\nc=E9", "quoted-printable", b"a=bc\xe9"),
        (b"50=25 = =ZZ =4", "quoted-printable", b"50% = =ZZ =4"),
        (b"begin 644 x.txt\n%:&5L;&\\\n`\nend\n", "x-uuencode", b"hello"),
        (b"no begin", "uuencode", b"no begin"),
        (b"as it is \xff", "8bit", b"as it is \xff"),
        (b"as it is", "x-unknown", b"as it is"),
    ],
)
def test_transfer_encodings_are_undone(data: bytes, encoding: str, content: bytes) -> None:
    assert decode_transfer(data, encoding) == content


@given(st.binary(), st.sampled_from(["base64", "quoted-printable", "uuencode", "7bit"]))
def test_undoing_a_transfer_encoding_never_fails(data: bytes, encoding: str) -> None:
    decode_transfer(data, encoding)
    decode_transfer(b"begin 644 x\n" + data, encoding)


@given(st.binary())
def test_base64_comes_back_whole(data: bytes) -> None:
    assert decode_transfer(base64.encodebytes(data), "base64") == data
