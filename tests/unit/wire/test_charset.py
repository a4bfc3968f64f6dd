"""Charsets and transfer encodings as real mail has them."""

from __future__ import annotations

import base64
import binascii
import quopri
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.charset import codec_of, decode_bytes, decode_html, decode_transfer
from posthouse.wire.header_encode import encode_base64
from unit.wire.timing import least_time


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


# --- As Windows writes it -----------------------------------------------------------------------------


def cp50220(text: str) -> bytes:
    """Text in ISO-2022-JP with NEC's and IBM's characters and half-width katakana."""
    out, mode = b"", b"(B"
    for char in text:
        octets = char.encode("cp932")
        wanted = b"(B" if char.isascii() else b"(I" if len(octets) == 1 else b"$B"
        if wanted == b"(I":
            octets = bytes([octets[0] & 0x7F])
        elif wanted == b"$B":
            lead, trail = octets
            row = (lead - (0x70 if lead < 0xA0 else 0xB0)) * 2
            cell = trail - 0x7E if trail >= 0x9F else trail - (0x20 if trail >= 0x80 else 0x1F)
            octets = bytes([row if trail >= 0x9F else row - 1, cell])
        out += (b"" if wanted == mode else b"\x1b" + wanted) + octets
        mode = wanted
    return out if mode == b"(B" else out + b"\x1b(B"


def cp51932(text: str) -> bytes:
    """The same in EUC-JP."""
    pairs = [char.encode() if char.isascii() else cp50220(char)[3:5] for char in text]
    return b"".join(pair if len(pair) == 1 else bytes(octet | 0x80 for octet in pair) for pair in pairs)


@pytest.mark.parametrize("text", ["第⑫回 ㍻㈲ ℡と№", "髙橋・﨑本 ﾃｽﾄ Ⅳ", "見積①\r\n②と③\r\nplain"])
@pytest.mark.parametrize("label", ["iso-2022-jp", "ISO-2022-JP-MS", "cp50221", None, "utf-8", "shift_jis"])
def test_iso_2022_jp_has_the_characters_of_windows(text: str, label: str | None) -> None:
    assert decode_bytes(cp50220(text), label) == text


@pytest.mark.parametrize("text", ["第⑫回の会議 ㈲", "髙橋さんと﨑本さん"])
def test_euc_jp_has_the_characters_of_windows(text: str) -> None:
    assert decode_bytes(cp51932(text), "euc-jp") == text


@pytest.mark.parametrize(
    ("data", "label", "text"),
    [
        ("碁銹€".encode("cp950"), "big5", "碁銹€"),
        ("着あ①".encode("big5hkscs"), "Big5", "着あ①"),
        ("똠방각하".encode("cp949"), "euc-kr", "똠방각하"),
        ("똠방각하".encode("cp949"), "KS_C_5601-1987", "똠방각하"),
        ("朱镕基".encode("gbk"), "GB2312", "朱镕基"),
        ("㐀𠀀喆".encode("gb18030"), "gb_2312-80", "㐀𠀀喆"),
        ("镕喆来信".encode("gbk"), "csGB2312", "镕喆来信"),
        ("镕喆来信".encode("gbk"), "hz-gb-2312", "镕喆来信"),
        ("똠방각하입니다".encode("cp949"), "iso-2022-kr", "똠방각하입니다"),
        ("這是信".encode("cp950"), "csBig5", "這是信"),
        ("ﾃｽﾄ㈱①".encode("cp932"), "iso-2022-jp", "ﾃｽﾄ㈱①"),
        ("Grüße".encode(), "csUTF8", "Grüße"),
        (b"5\x80", "gbk", "5€"),
        ("①㈱".encode("cp932"), "Shift_JIS", "①㈱"),
        ("Grüße aus Köln".encode(), "iso-8859-1", "Grüße aus Köln"),
        ("встреча завтра".encode(), "koi8-r", "встреча завтра"),
        ("会議の資料です".encode(), "gb2312", "会議の資料です"),
        ("会議の資料です".encode(), "iso-2022-jp", "会議の資料です"),
        ("会議の資料です".encode("euc_jp"), "shift_jis", "会議の資料です"),
        ("会議の資料です".encode("cp932"), "iso-2022-jp", "会議の資料です"),
        ("人民".encode("gb2312"), "gb2312", "人民"),
        ("¿Qué?".encode("cp1252"), "utf-8", "¿Qué?"),
    ],
)
def test_labels_mean_what_senders_mean(data: bytes, label: str, text: str) -> None:
    assert decode_bytes(data, label) == text


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("请在星期五之前回复", "gb2312"),
        ("금요일까지 답장해 주세요", "euc-kr"),
        ("金曜日までに返事をください", "euc-jp"),
        ("金曜日までに返事をください", "iso-2022-jp"),
        ("до пятницы, пожалуйста", "utf-8"),
    ],
)
@pytest.mark.parametrize("damage", [0x00, 0x3F, 0x80, 0xFF])
def test_a_damaged_character_costs_itself(text: str, codec: str, damage: int) -> None:
    whole = text.encode(codec)
    for place in range(len(whole)):
        if codec == "iso-2022-jp" and not 3 <= place < len(whole) - 3:
            continue  # the escapes themselves
        data = whole[:place] + bytes([damage]) + whole[place + 1 :]
        read = decode_bytes(data, codec)
        left = list(read)
        lost = [char for char in text if char not in left or left.remove(char)]  # type: ignore[func-returns-value]
        # JIS is seven bits: `?` is half of another character there, and no damage can be seen.
        assert len(lost) <= 1, (place, read)


@pytest.mark.parametrize("codec", ["iso-2022-kr", "hz", "utf-7"])
def test_seven_bits_that_are_damaged_stay_what_they_are(codec: str) -> None:
    text = "안녕하세요 여러분" if codec == "iso-2022-kr" else "请回复 谢谢"
    data = text.encode(codec)
    assert len(set(decode_bytes(data + data[-1:] + b"\x7f~q+", codec)) & set(text)) > len(set(text)) // 2


def test_a_line_of_jis_ends_in_ascii_though_its_escape_was_lost() -> None:
    data = "会議".encode("iso2022_jp").removesuffix(b"\x1b(B") + b"\r\nnext line \x1b$B-!\x1b(B"
    assert decode_bytes(data, "iso-2022-jp") == "会議\r\nnext line ①"


@pytest.mark.parametrize(
    ("text", "codec"),
    [("Привет", "windows-1251"), ("Łódź", "iso-8859-2"), ("שלום", "windows-1255"), ("您好世界", "big5")],
)
@pytest.mark.parametrize(
    "meta",
    ['<meta charset="{}">', "<META content='text/html; charset={}' http-equiv=Content-Type>", "<meta charset={} />"],
)
def test_html_says_its_charset_itself(text: str, codec: str, meta: str) -> None:
    data = b"<html><head><style>" + b"p{}" * 800 + b"</style>" + meta.format(codec).encode() + text.encode(codec)
    for declared in (None, "us-ascii", "x-nobody-knows"):
        assert decode_html(data, declared).endswith(text)
    assert decode_html(data, "koi8-r") != decode_html(data, None)


def test_a_meta_never_speaks_against_valid_utf_8() -> None:
    data = '<meta charset="windows-1251">Łódź'.encode()
    assert decode_html(data, None).endswith("Łódź")
    assert decode_html(b'<meta charset="utf-16">\xe9', None).endswith("é")


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"one= \t\r\ntwo= \nthree =20\n", b"onetwothree  \n"),
        (b"kept =\t", b"kept "),
        (b"blanks \t \nat ends\t\r\ngo  ", b"blanks\nat ends\r\ngo"),
        (b"a  b\n", b"a  b\n"),
    ],
)
def test_blanks_at_the_end_of_a_line_are_the_transport_s(data: bytes, content: bytes) -> None:
    assert decode_transfer(data, "quoted-printable") == content


@pytest.mark.parametrize(
    ("data", "label"),
    [
        (b"\x1b$B-!", "iso-2022-jp"), (b"\x1b$B!\0", "iso-2022-jp"), (b"\xff\xc4", "gb2312"), (b"\xe3\x81\xff", "utf-8"),
        (b"\xad\xa1\xff", "euc-jp"), (b"\xf9\xff", "big5"), (b"\x1b$B-!\x1b(Ba", None),
    ],
)  # fmt: skip
def test_damage_is_read_in_linear_time(data: bytes, label: str | None) -> None:
    short, long = (least_time(decode_bytes, data * count, label) for count in (10_000, 80_000))
    assert long < 24 * short + 0.1


@pytest.mark.parametrize("size", [400_000, 400_001, 400_002, 1_000_003])
def test_long_bodies_are_decoded_and_encoded_as_short_ones(size: int) -> None:
    data = random.Random(size).randbytes(size)
    lines = base64.encodebytes(data)
    assert decode_transfer(lines, "base64") == data
    assert decode_transfer(lines.replace(b"\n", b"!\r\n-"), "base64") == data
    assert decode_transfer(lines.rstrip(b"=\n"), "base64") == data
    assert encode_base64(data) == lines.rstrip(b"\n").replace(b"\n", b"\r\n")
    quoted = quopri.encodestring(data.translate(None, b"\r\n"), quotetabs=True)
    assert decode_transfer(quoted, "quoted-printable") == binascii.a2b_qp(quoted)
    endless = b"".join(b"=%02X" % octet for octet in data)
    assert decode_transfer(endless, "quoted-printable") == data
    assert decode_transfer(b"word  \r\n" * (size // 8), "quoted-printable") == b"word\r\n" * (size // 8)
    assert decode_transfer(b"=" * size, "quoted-printable")
