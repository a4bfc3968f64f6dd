"""What lies in containers that are no multiparts: opaque S/MIME signatures and winmail.dat."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire import rtf, smime, tnef
from posthouse.wire.message import Contents, ParsedMessage, parse
from posthouse.wire.opened import UNVERIFIED
from unit.wire import containers
from unit.wire.timing import least_time

INNER = (
    b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nDie T=C3=BCr ist offen.\r\n--i\r\n"
    b"Content-Type: application/pdf; name=plan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0x\r\n--i--\r\n"
)
P7M = "application/pkcs7-mime; smime-type=signed-data; name=smime.p7m"


def files(raw: bytes) -> dict[str | None, bytes]:
    """Names and contents of a message's files."""
    contents = Contents(raw)
    return {
        file.part.filename: contents.span(file.part.start, file.part.end, file.part.encoding)
        for file in parse(raw).files
    }


def beside_text(text: str, stream: bytes) -> bytes:
    """A mail with a text and a winmail.dat."""
    head = f"Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain\n\n{text}\n--m\n".encode()
    return head + containers.as_part("application/ms-tnef; name=winmail.dat", stream) + b"--m--\n"


@pytest.mark.parametrize("each", [None, 7, 1_000])
def test_text_and_files_of_an_opaque_signature_are_shown(each: int | None) -> None:
    octets = None if each is None else containers.pieces(INNER, each)
    raw = containers.as_part(P7M, containers.signed(INNER, octets))
    message = parse(raw)
    assert message.text == "Die Tür ist offen."
    assert files(raw) == {"plan.pdf": b"%PDF-1"}
    assert UNVERIFIED in message.defects
    # The container is on the wire and stays in what JMAP shows of it.
    assert message.structure.content_type == "application/pkcs7-mime"
    assert [part.filename for part in message.attachments] == ["smime.p7m", "plan.pdf"]


def test_a_signature_within_a_list_s_footer_is_opened_by_its_name() -> None:
    part = containers.as_part("application/octet-stream; name=smime.p7m", containers.signed(INNER))
    raw = (
        b"Content-Type: multipart/mixed; boundary=m\n\n--m\n"
        + part
        + b"--m\nContent-Type: text/plain\n\nA list\n--m--\n"
    )
    message = parse(raw)
    assert message.text is not None
    assert "Die Tür ist offen." in message.text
    assert "A list" in message.text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x80",
        containers.der(0x30, containers.der(0x06, bytes.fromhex("2a864886f70d010703")) + b"\xa0\x02\x30\x00"),
        containers.signed(b"", b""),
        containers.der(0x30, containers.der(0x06, bytes.fromhex("2a864886f70d010702")) + b"\xa0\x80" + b"\x30\x80" * 999),
    ],
)  # fmt: skip
def test_what_is_encrypted_or_no_signature_stays_a_file(data: bytes) -> None:
    raw = containers.as_part("application/pkcs7-mime; name=smime.p7m", data)
    message = parse(raw)
    assert list(files(raw)) == ["smime.p7m"]
    assert UNVERIFIED not in message.defects


def test_a_winmail_dat_becomes_its_files() -> None:
    raw = beside_text("Two files.", containers.tnef(("Übersicht 2024.pdf", b"%PDF"), ("notes.txt", b"notes")))
    message = parse(raw)
    assert message.text == "Two files."
    assert files(raw) == {"Übersicht 2024.pdf": b"%PDF", "notes.txt": b"notes"}
    assert [file.part.content_type for file in message.files] == ["application/pdf", "text/plain"]


def test_its_text_is_shown_where_the_mail_does_not_say_it_already() -> None:
    assert parse(beside_text("See  you", containers.tnef(body="See you"))).text == "See  you"
    other = parse(beside_text("See you", containers.tnef(body="Bring the keys")))
    assert other.text == "See you\n\nBring the keys\n"
    html = '<p>A card <img src="cid:c@x">'
    alone = parse(
        containers.as_part("application/ms-tnef", containers.tnef(("c.png", b"PNG"), html=html, content_ids=["c@x"]))
    )
    assert alone.html == html
    assert [(file.part.filename, file.in_text) for file in alone.files] == [("c.png", True)]


def test_its_rich_text_is_read_where_it_has_no_other() -> None:
    words = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}Gr\'fc\'dfe f\u252?r 5\u8364?\par zwei\tab drei{\*\x no}}"
    packed = struct.pack("<II4sI", len(words) + 12, len(words), b"MELA", 0) + words
    assert (
        parse(containers.as_part("application/ms-tnef", containers.tnef(rtf=packed))).text == "Grüße für 5€\nzwei\tdrei"
    )


def test_ms_oxrtfcp_4_1_compressed_rich_text() -> None:
    simple = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert rtf.decompress(simple) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    crossing = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
    assert rtf.decompress(crossing) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"


def test_one_that_is_cut_off_is_kept_as_a_file_as_well() -> None:
    stream = containers.tnef(("a.pdf", b"%PDF"), ("b.bin", b"0123456789"))
    raw = beside_text("x", stream[:-40])
    assert files(raw)["winmail.dat"] == stream[:-40]
    assert files(raw)["a.pdf"] == b"%PDF"


def test_containers_in_containers_are_opened_and_not_for_ever() -> None:
    raw = containers.as_part(P7M, containers.signed(beside_text("Inside", containers.tnef(("deep.txt", b"deep")))))
    assert parse(raw).text == "Inside"
    assert files(raw) == {"deep.txt": b"deep"}
    for _ in range(12):
        raw = containers.as_part(P7M, containers.signed(raw))
    assert len(parse(raw).files) == 1


def test_ids_of_parts_are_each_one_part_s() -> None:
    part = containers.as_part(P7M, containers.signed(INNER))
    raw = b"Content-Type: multipart/mixed; boundary=m\n\n" + b"".join(b"--m\n" + part for _ in range(3)) + b"--m--\n"
    message = parse(raw)
    ids = [file.part.part_id for file in message.files] + [part.part_id for part in message.text_body]
    assert len(ids) == len(set(ids)) == 6


def _read(data: bytes) -> ParsedMessage:
    raw = containers.as_part("application/octet-stream; name=winmail.dat", data)
    message = parse(raw)
    contents = Contents(raw)
    for file in message.files:
        contents.span(file.part.start, file.part.end, file.part.encoding)
    return message


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_damaged_streams_never_fail(seed: int, count: int) -> None:
    chance = random.Random(seed)
    for whole in (containers.tnef(("a.txt", b"x" * 40), body="y", html="<p>z"), containers.signed(INNER)):
        data = bytearray(whole)
        for _ in range(count):
            data[chance.randrange(len(data))] = chance.randrange(256)
        _read(bytes(data[: chance.randrange(len(data))] if seed % 3 == 0 else data))
        smime.signed_content(bytes(data))
        parse(containers.as_part(P7M, bytes(data)))


@given(st.binary(max_size=300))
def test_any_octets_are_read(data: bytes) -> None:
    tnef.read(tnef.SIGNATURE + data)
    smime.signed_content(data)
    rtf.to_text(rtf.decompress(b"\0" * 4 + b"\xff\xff\0\0LZFu\0\0\0\0" + data))
    rtf.to_text(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda size: containers.as_part(P7M, b"\x30\x80" * size),
        lambda size: containers.as_part(P7M, containers.signed(b"", b"\x24\x80" * size)),
        lambda size: containers.as_part(P7M, containers.signed(b"", b"\x24\x80" + b"\x04\x01x" * size)),
        lambda size: beside_text("x", containers.tnef(*[("a.txt", b"")] * (size // 100))),
        lambda size: beside_text("", containers.tnef(rtf=b"\0\0\0\0\xff\xff\xff\0LZFu\0\0\0\0" + b"\xff" * size * 8)),
        lambda size: beside_text("", tnef.SIGNATURE + b"\1\0" + containers.attribute(1, 0x00069003, b"\xff" * size)),
    ],
)
def test_opening_takes_linear_time(make) -> None:
    short, long = (least_time(parse, make(size)) for size in (2_000, 16_000))
    assert long < 24 * short + 0.1
