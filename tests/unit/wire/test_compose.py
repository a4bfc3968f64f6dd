"""Building messages: what was put in comes out again, and nothing else."""

from __future__ import annotations

import email
import email.policy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import Invalid, TooLarge
from posthouse.wire.address import Address
from posthouse.wire.charset import decode_quoted_printable
from posthouse.wire.compose import (
    Attachment,
    Outgoing,
    check_custom_header,
    compose,
    needs_utf8,
    new_message_id,
    quote_forward,
    reply_references,
)
from posthouse.wire.header_encode import encode_text
from posthouse.wire.message import decode_part, parse

JANE = Address("jane@example.org", "Jane Doe")
BOB = Address("bob@agents.localhost")


def outgoing(**given_: Any) -> Outgoing:
    values: dict[str, Any] = {
        "from_": JANE, "to": (BOB,), "cc": (), "bcc": (), "reply_to": (), "subject": "A test", "text": "Hello.\n",
        "html": None, "attachments": (), "in_reply_to": None, "references": (), "headers": (), "message_id": "1@x.org",
        "sent_at": 1_700_000_000_000,
    }  # fmt: skip
    return Outgoing(**(values | given_))


def check_form(raw: bytes) -> None:
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", raw), "a bare CR or LF"
    assert max(map(len, raw.split(b"\r\n"))) <= 998  # RFC 5322 §2.1.1
    assert raw.endswith(b"\r\n")


def test_a_simple_message_byte_for_byte() -> None:
    assert compose(outgoing()) == (
        b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: Jane Doe <jane@example.org>\r\n"
        b"To: bob@agents.localhost\r\nSubject: A test\r\nMessage-ID: <1@x.org>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nHello.\r\n"
    )


def test_all_fields_come_back() -> None:
    message = parse(
        compose(
            outgoing(
                from_=Address("jürgen@example.org", 'Doe, "Jürgen"'),
                sender=Address("sec@example.org", "Sec"),
                cc=tuple(Address(f"user{n}@exämple.org", f"Üser, {n}") for n in range(30)),
                reply_to=(Address("answers@example.org"),),
                subject="Grüße 😀 " * 30,
                in_reply_to="<p@x.org>",
                references=tuple(f"{n}@x.org" for n in range(60)),
                headers=(("X-Campaign", "späť"), ("List-Unsubscribe", "<https://x.test/u?" + "a" * 300 + ">")),
            )
        )
    )
    assert message.from_ == (Address("jürgen@example.org", 'Doe, "Jürgen"'),)
    assert message.sender == (Address("sec@example.org", "Sec"),)
    assert message.cc[29] == Address("user29@xn--exmple-cua.org", "Üser, 29") and len(message.cc) == 30
    assert message.reply_to == (Address("answers@example.org"),)
    assert message.subject == ("Grüße 😀 " * 30).strip()
    assert message.in_reply_to == ("p@x.org",) and len(message.references) == 60
    assert message.sent_at == 1_700_000_000_000
    assert not message.defects


def test_blind_recipients_are_never_written() -> None:
    raw = compose(outgoing(bcc=(Address("secret@x.org", "Secret"),)))
    assert b"ecret" not in raw and b"bcc" not in raw.lower()
    raw = compose(outgoing(to=(), bcc=(Address("secret@x.org"),)))
    assert b"To: undisclosed-recipients:;\r\n" in raw and parse(raw).to == ()


LOGO = Attachment("logo.png", "image/png", b"PNG", "inline", "<logo@x>")
PDF = Attachment("a b.pdf", "application/pdf", b"%PDF" * 100)


def types(raw: bytes) -> list[str]:
    return [part.get_content_type() for part in email.message_from_bytes(raw).walk()]


def test_the_structure_follows_the_content() -> None:
    assert types(compose(outgoing())) == ["text/plain"]
    assert types(compose(outgoing(text=None))) == ["text/plain"]
    assert types(compose(outgoing(text=None, html="<p>x"))) == ["text/html"]
    assert types(compose(outgoing(html="<p>x"))) == ["multipart/alternative", "text/plain", "text/html"]
    assert types(compose(outgoing(attachments=(PDF,)))) == ["multipart/mixed", "text/plain", "application/pdf"]
    assert types(compose(outgoing(html="<img src=cid:logo@x>", attachments=(PDF, LOGO)))) == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
        "application/pdf",
    ]  # fmt: skip
    # Without HTML nothing can refer to it: it is a file like others.
    assert types(compose(outgoing(attachments=(LOGO,)))) == ["multipart/mixed", "text/plain", "image/png"]


def test_attachments_come_back_byte_for_byte() -> None:
    files = (
        PDF,
        LOGO,
        Attachment(
            "очень длинное имя файла, которое надо складывать.csv", "text/csv; charset=utf-8", bytes(range(256))
        ),
        Attachment('we"ird\\name;.txt', "nonsense", b""),
        Attachment("../../etc/passwd", "multipart/mixed", b"--x--"),
        Attachment("invite.ics", "text/calendar; method=REQUEST; charset=utf-8", b"BEGIN:VCALENDAR\r\n"),
    )
    raw = compose(outgoing(html="<p>x", attachments=files))
    check_form(raw)
    message = parse(raw)
    found = {part.filename: part for part in message.attachments}
    assert set(found) == {"a b.pdf", "logo.png", files[2].filename, "name;.txt", "passwd", "invite.ics"}
    assert {name: decode_part(raw, part) for name, part in found.items()} == {
        "a b.pdf": PDF.data, "logo.png": b"PNG", files[2].filename: bytes(range(256)), "name;.txt": b"",
        "passwd": b"--x--", "invite.ics": b"BEGIN:VCALENDAR\r\n",
    }  # fmt: skip
    assert found["name;.txt"].content_type == found["passwd"].content_type == "application/octet-stream"
    assert ("Content-Type", " text/calendar; method=REQUEST; charset=utf-8") in found["invite.ics"].headers
    assert found["logo.png"].content_id == "logo@x"


def test_an_attached_message_is_not_encoded_unless_it_must() -> None:
    plain = compose(outgoing(attachments=(Attachment("m.eml", "message/rfc822", b"Subject: x\n\nhi\n"),)))
    assert b"Content-Type: message/rfc822\r\n" in plain and b"\r\n\r\nSubject: x\r\n\r\nhi\r\n" in plain
    wide = compose(outgoing(attachments=(Attachment("m.eml", "message/rfc822", "Subject: é\n\n".encode()),)))
    assert b"Content-Type: message/global\r\n" in wide
    check_form(wide)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n", "7bit"),
        ("mostly plain é\n", "quoted-printable"),
        ("x" * 2_000, "quoted-printable"),
        ("日本語だけ" * 50, "base64"),
        ("a\x00b", "quoted-printable"),
        ("", "7bit"),
        ("mixed\r\nends\rhere\n", "7bit"),
        (".\r\n.\n", "7bit"),
        ("trailing blanks é  \n", "quoted-printable"),
    ],
)
def test_the_best_encoding_is_chosen(text: str, encoding: str) -> None:
    raw = compose(outgoing(text=text))
    check_form(raw)
    message = parse(raw)
    assert message.structure.encoding == encoding
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    assert (message.text or "").removesuffix("\n") == lines.removesuffix("\n")


NO_BREAK = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=200)


def flat(text: str) -> str:
    """What survives of a text in a header: one line, NFC, no controls."""
    from posthouse.wire.headers import decode_text

    return " ".join(decode_text(text.replace("=?", "= ?")).split())


@given(
    subject=NO_BREAK,
    name=NO_BREAK,
    text=st.text(),
    html=st.none() | st.text(),
    filename=NO_BREAK,
    data=st.binary(),
)
def test_whatever_is_put_in_comes_out(
    subject: str, name: str, text: str, html: str | None, filename: str, data: bytes
) -> None:
    raw = compose(
        outgoing(
            from_=Address("jane@example.org", name),
            subject=subject,
            text=text,
            html=html,
            attachments=(Attachment(filename, "application/octet-stream", data),),
        )
    )
    check_form(raw)
    message = parse(raw)
    assert flat(message.subject) == flat(subject)
    assert message.from_[0].email == "jane@example.org" and len(message.from_) == 1
    assert len(message.to) == 1 and message.message_id == "1@x.org"
    attached = message.attachments[-1]
    assert decode_part(raw, attached) == data
    lines = re.sub("\r\n?", "\n", text).encode("utf-8", "replace").decode().replace("\0", "\ufffd").removesuffix("\n")
    found = (message.text or "").removesuffix("\n")
    assert found.removesuffix("\n") == lines.removeprefix("\ufeff").removesuffix("\n") or "?" in lines
    assert not message.defects


@given(name=NO_BREAK)
def test_display_names_come_back(name: str) -> None:
    from posthouse.wire.address import clean

    (address,) = parse(compose(outgoing(from_=Address("jane@example.org", name)))).from_
    import unicodedata

    expected = clean(unicodedata.normalize("NFC", name))[:512]
    assert address.email == "jane@example.org"
    if "=?" not in expected and "'" not in expected and '"' not in expected:
        assert " ".join(address.name.split()) == " ".join(expected.split())


# --- Header injection -------------------------------------------------------------------------------

EVIL = ["x\r\nBcc: evil@x.org", "x\nBcc: evil@x.org", "x\rBcc: evil@x.org", "x\0y", "\r\n\r\nbody"]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("subject", lambda evil: {"subject": evil}),
        ("from", lambda evil: {"from_": Address("a@b", evil)}),
        ("from", lambda evil: {"from_": Address(f"a{evil}@b")}),
        ("to", lambda evil: {"to": (BOB, Address(f"a@b{evil}"))}),
        ("cc", lambda evil: {"cc": (Address("a@b", evil),)}),
        ("reply_to", lambda evil: {"reply_to": (Address("a@b", evil),)}),
        ("sender", lambda evil: {"sender": Address("a@b", evil)}),
        ("message_id", lambda evil: {"message_id": f"a{evil}@b"}),
        ("in_reply_to", lambda evil: {"in_reply_to": f"a{evil}@b"}),
        ("references", lambda evil: {"references": ("a@b", f"a{evil}@b")}),
        ("headers.X-A", lambda evil: {"headers": (("X-A", evil),)}),
        ("headers", lambda evil: {"headers": ((evil, "x"),)}),
        ("attachments.filename", lambda evil: {"attachments": (Attachment(evil, "a/b", b""),)}),
        ("attachments.content_type", lambda evil: {"attachments": (Attachment("a", f"a/b; x={evil}", b""),)}),
        ("attachments.content_id", lambda evil: {"attachments": (Attachment("", "a/b", b"", "inline", f"a{evil}"),)}),
    ],
)
def test_no_value_can_start_a_header_of_its_own(field: str, make: Any, evil: str) -> None:
    with pytest.raises(Invalid) as caught:
        compose(outgoing(**make(evil)))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "name",
    ["From", "TO", "bcc", "Date", "Message-ID", "Subject", "Content-Type", "content-x", "DKIM-Signature", "Received",
     "Return-Path", "MIME-Version", "Authentication-Results", "ARC-Seal", "Resent-From", "a b", "a:b", "", "é",
     "x" * 77],
)  # fmt: skip
def test_names_that_belong_to_the_server_or_are_none_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_custom_header(name, "x")


def test_threading_headers_may_be_given_as_custom_ones_once() -> None:
    raw = compose(outgoing(headers=(("In-Reply-To", "<a@b>"), ("References", "a@b c@d"))))
    assert parse(raw).in_reply_to == ("a@b",) and parse(raw).references == ("a@b", "c@d")
    raw = compose(outgoing(in_reply_to="own@x", headers=(("In-Reply-To", "<a@b>"),)))
    assert raw.count(b"In-Reply-To") == 1 and parse(raw).in_reply_to == ("own@x",)


# --- Helpers ----------------------------------------------------------------------------------------


def test_smtputf8_is_needed_for_local_parts_only() -> None:
    assert not needs_utf8(compose(outgoing(subject="é", text="é", to=(Address("a@exämple.org", "é"),))))
    raw = compose(outgoing(to=(Address("jürgen@exämple.org"),)))
    assert needs_utf8(raw) and "jürgen@xn--exmple-cua.org".encode() in raw
    assert not needs_utf8("Subject: x\r\n\r\né".encode())


@pytest.mark.parametrize(
    ("email", "wire"),
    [
        ("post@例え.テスト", "post@xn--r8jz45g.xn--zckzah"),
        ("info@Straße.example", "info@xn--strae-oqa.example"),
        ("a+b@почта.пример", "a+b@xn--80a1acny.xn--e1afmkfd"),
        ("plain@example.org", "plain@example.org"),
    ],
)
def test_a_domain_beyond_ascii_alone_travels_everywhere(email: str, wire: str) -> None:
    raw = compose(outgoing(to=(Address(email, "Kïm"),), reply_to=(Address(email),)))
    assert not needs_utf8(raw)
    assert raw.count(wire.encode()) == 2


def test_message_ids_are_new_and_in_their_domain() -> None:
    one, two = new_message_id("exämple.org"), new_message_id("exämple.org")
    assert one != two and one.endswith("@xn--exmple-cua.org")
    assert new_message_id("not a domain").endswith("@localhost")


def test_references_of_a_long_conversation_keep_both_ends() -> None:
    assert reply_references("c", ("a", "b")) == ("a", "b", "c")
    assert reply_references("b", ("a", "b")) == ("a", "b")
    assert reply_references(None, ("a",)) == ("a",)
    many = reply_references("new", tuple(map(str, range(200))))
    assert len(many) == 50 and many[0] == "0" and many[-2:] == ("199", "new")


def test_a_forwarded_message_is_quoted_whole() -> None:
    original = parse(compose(outgoing(subject="<b>Hi</b>", text="Old text.", html="<p>Old <b>text</b>.")))
    text, html = quote_forward(original, "FYI <you>", None)
    assert text == (
        "FYI <you>\n\n---------- Forwarded message ----------\nFrom: Jane Doe <jane@example.org>\n"
        "Date: Tue, 14 Nov 2023 22:13:20 +0000\nSubject: <b>Hi</b>\nTo: bob@agents.localhost\n\nOld text.\n"
    )
    assert html is not None and "FYI &lt;you&gt;" in html and "&lt;b&gt;Hi&lt;/b&gt;" in html
    assert "<p>Old <b>text</b>." in html
    plain = parse(compose(outgoing()))
    assert quote_forward(plain, None, None)[1] is None
    assert "Hello." in (quote_forward(plain, "x", "<p>x")[1] or "")


def test_the_standard_library_reads_it_alike() -> None:
    raw = compose(
        outgoing(
            subject="Grüße " * 20, text="é\n", html="<p>é", attachments=(Attachment("naïve.txt", "text/plain", b"x"),)
        )
    )
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["subject"].strip() == ("Grüße " * 20).strip()
    assert message.get_body(("plain",)).get_content() == "é\r\n"  # type: ignore[union-attr]
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "naïve.txt"
    assert not message.defects


def test_a_header_that_no_door_would_take_is_not_made() -> None:
    headers = tuple((f"X-{n}", "y z" * 2_700) for n in range(70))
    with pytest.raises(TooLarge):
        compose(outgoing(headers=headers))


@pytest.mark.parametrize("odd", ["a b@x", "\ufffd", "a>b", "x" * 1_000])
def test_an_odd_content_id_becomes_one_that_can_be_written(odd: str) -> None:
    image = Attachment("a.png", "image/png", b"1", "inline", odd)
    raw = compose(outgoing(html=f'<img src="cid:{odd}">', attachments=(image,)))
    check_form(raw)
    message = parse(raw)
    assert message.html is not None
    [part] = message.attachments
    assert f'"cid:{part.content_id}"' in message.html


@given(st.text(max_size=30), st.sampled_from([1, 40, 300]))
def test_no_text_makes_a_bare_line_end_or_a_line_too_long(text: str, times: int) -> None:
    raw = compose(
        outgoing(
            text=text * times,
            html=text * times,
            attachments=(Attachment("a", "message/rfc822", (text * times).encode("utf-8", "replace")),),
        )
    )
    check_form(raw)


@pytest.mark.parametrize("line_ends", [True, False])
def test_a_text_longer_than_is_encoded_at_once_comes_back_in_lines_of_the_standards_length(line_ends: bool) -> None:
    for shift in range(80):
        text = (
            "x" * shift
            + ("Grüße und = mehr davon, mit\tBlank\r\n" if line_ends else "Grüße und = mehr davon ") * 30_000
        )
        encoding, encoded = encode_text(text)
        assert encoding == "quoted-printable"
        assert max(map(len, encoded.split(b"\r\n"))) <= 76  # RFC 2045 §6.7 (5)
        assert decode_quoted_printable(encoded).decode() == text
        if shift > 3 and line_ends:
            break
