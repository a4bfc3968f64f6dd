from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import Invalid, Malformed
from posthouse.wire.smtp_auth import decode_base64, parse_plain
from posthouse.wire.smtp_data import DotReader, is_smuggling, stuff, unstuff
from posthouse.wire.smtp_syntax import (
    Reply,
    decode_xtext,
    encode_xtext,
    parse_mail_parameters,
    parse_mailbox,
    parse_path,
    parse_recipient_parameters,
)


@pytest.mark.parametrize(
    ("text", "address", "rest"),
    [
        ("<userx@y.foo.org>", "userx@y.foo.org", ""),  # RFC 5321 §4.1.1.3
        ("<@hosta.int,@jkl.org:userc@d.bar.org>", "userc@d.bar.org", ""),  # RFC 5321 §3.3, appendix C
        ("<>", "", ""),
        ("<> SIZE=1", "", "SIZE=1"),
        (" <a@b> A=1  B", "a@b", "A=1  B"),
        ("a@b A=1", "a@b", "A=1"),
        ("<postmaster>", "postmaster", ""),
        ("<POSTMASTER>", "postmaster", ""),
        ('<"a b"@c.example>', '"a b"@c.example', ""),
        ('<"a>b"@c.example> X', '"a>b"@c.example', "X"),
        ('<"a\\"b"@c.example>', '"a\\"b"@c.example', ""),
        ('<"joe"@c.example>', "joe@c.example", ""),
        ('<""@c.example>', '""@c.example', ""),
        ("<o'brien+tag=x/y@c.example>", "o'brien+tag=x/y@c.example", ""),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]", ""),
        ("<a@[IPv6:::1]>", "a@[IPv6:::1]", ""),
        ("<.a..b.@docomo.example>", ".a..b.@docomo.example", ""),
        ("<用户@例え.テスト>", "用户@例え.テスト", ""),
        ("<" + "v" * 200 + "@c.example>", "v" * 200 + "@c.example", ""),
        ("<a@under_score.example>", "a@under_score.example", ""),
    ],
)
def test_paths_are_read(text: str, address: str, rest: str) -> None:
    assert parse_path(text) == (address, rest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "<",
        "<a@b",
        "a",
        "<a>",
        "<a@>",
        "<@b>",
        "<a@b>x",
        "<a b@c>",
        "<a@b c>",
        "<a@b..c>",
        "<a@.c>",
        "<a@c.>",
        "<a@-c>",
        "<a@c->",
        "<a,b@c>",
        "<a@b@c>",
        "<(x)a@c>",
        '<"a@c>',
        '<"a"b@c>',
        '<"a\tb"@c>',
        "<a\x85@c>",
        "<a@c\u202e.example>",
        "<a@[1.2.3]>",
        "<a@[1.2.3.4>",
        "<a@[IPv6:1.2.3.4]>",
        "<a@[tag:x]>",
        "<" + "v" * 257 + "@c>",
        "<a@" + "c" * 64 + ">",
        "<a@" + ".".join(["c" * 60] * 5) + ">",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_path(text)


@given(st.text(max_size=40))
def test_reading_a_path_never_fails_otherwise(text: str) -> None:
    for path in (text, f"<{text}>", f"<a@{text}>", f'<"{text}"@b>'):
        try:
            address, _ = parse_path(path)
        except Malformed:
            continue
        assert address in ("", "postmaster") or parse_mailbox(address) == address


def test_xtext_goes_there_and_back() -> None:
    assert encode_xtext("a+b=c d") == "a+2Bb+3Dc+20d"
    assert decode_xtext("a+2Bb+3Dc+20d") == "a+b=c d"


@pytest.mark.parametrize("text", ["a+", "a+0", "a+0G", "a=b", "a b", "a+0A", "a+0D+0A", "a+7F", "a+FF", "é"])
def test_what_is_no_printable_xtext_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        decode_xtext(text)


def test_parameters_are_read_whatever_their_case() -> None:
    parameters = parse_mail_parameters("size=7 body=8bitmime Smtputf8 ret=hdrs EnvId=x auth=ann+40x.example")
    assert (parameters.size_bytes, parameters.body, parameters.smtputf8) == (7, "8BITMIME", True)
    assert (parameters.ret, parameters.envid, parameters.auth) == ("HDRS", "x", "ann@x.example")


@pytest.mark.parametrize(
    "text",
    ["SIZE", "SIZE=", "SIZE=x", "SIZE=²", "BODY", "SMTPUTF8=1", "RET", "ENVID", "ENVID=" + "x" * 101, "AUTH", "=1"],
)
def test_wrong_values_of_mail_parameters_are_told_from_unknown_parameters(text: str) -> None:
    with pytest.raises((Malformed, Invalid)) as caught:
        parse_mail_parameters(text)
    assert isinstance(caught.value, Invalid) == text.startswith("BODY")


def test_original_recipients_are_decoded() -> None:
    assert parse_recipient_parameters("ORCPT=rfc822;a+2Bb@c").orcpt == "rfc822;a+b@c"
    assert parse_recipient_parameters("ORCPT=utf-8;\\x{7528}@c").orcpt == "utf-8;用@c"
    for bad in (
        "ORCPT=utf-8;\\x{0A}x",
        "ORCPT=utf-8;\\x{D800}",
        "ORCPT=utf-8;\\x{FFFFFF}",
        "ORCPT=;x",
        "ORCPT",
        "NOTIFY",
        "NOTIFY=",
        "NOTIFY=NEVER,DELAY",
    ):
        with pytest.raises(Malformed):
            parse_recipient_parameters(bad)


def test_plain_needs_an_identity_and_a_password() -> None:
    assert parse_plain(b"\0tim\0tanstaaftanstaaf") == ("", "tim", "tanstaaftanstaaf")  # RFC 4616 §4
    assert parse_plain(b"Ursel\0Kurt\0xipj3plmq") == ("Ursel", "Kurt", "xipj3plmq")
    for bad in (b"", b"a", b"a\0b", b"\0\0x", b"\0a\0", b"\0a\0b\0c", b"\0\xff\0x"):
        with pytest.raises(Malformed):
            parse_plain(bad)
    assert decode_base64(b"=") == b""
    for bad in (b"!", b"YQ", b"Y Q=="):
        with pytest.raises(Malformed):
            decode_base64(bad)


def test_text_from_elsewhere_cannot_forge_a_reply() -> None:
    reply = Reply(550, "5.1.1", "no\r\n250 2.0.0 yes\x00é\u2028x").encode()
    assert reply == b"550-5.1.1 no\r\n550-5.1.1 250 2.0.0 yes??\r\n550 5.1.1 x\r\n"


def test_long_replies_become_lines_of_at_most_512_octets() -> None:
    lines = Reply(550, "5.1.1", "x" * 2_000).encode().split(b"\r\n")[:-1]
    assert all(len(line) <= 510 for line in lines)
    assert b"".join(line[10:] for line in lines) == b"x" * 2_000
    assert Reply(250, "", "").encode() == b"250 \r\n"
    assert Reply(250, "2.0.0", "\n").encode().startswith(b"250 2.0.0")


def test_a_reply_code_has_three_digits_and_a_meaning() -> None:
    with pytest.raises(ValueError):
        Reply(99, "", "")


@given(st.lists(st.sampled_from([b".", b"\r\n", b"x", b"\n", b"\r", b"..", b"\0"]), max_size=30).map(b"".join))
def test_stuffing_goes_there_and_back(raw: bytes) -> None:
    assert unstuff(stuff(raw)) == raw


@given(st.lists(st.sampled_from([b".", b"\r\n", b"x"]), max_size=30).map(b"".join))
def test_a_message_with_proper_line_ends_is_never_smuggling(raw: bytes) -> None:
    assert not is_smuggling(raw)
    buffer = bytearray(stuff(raw + b"\r\n") + b".\r\nQUIT\r\n")
    content = DotReader(1_000).read(buffer)
    assert content is not None
    assert (content.raw, content.is_smuggling) == (raw + b"\r\n", False)
    assert buffer == b"QUIT\r\n"


@pytest.mark.parametrize("before", [b"\n", b"\r", b"\r\n", b"\r\0\n", b"\n\0", b"\r\r\n"])
@pytest.mark.parametrize("after", [b"\n", b"\r", b"\r\n", b"\0\r\n", b"\r\r\n", b"\n\n", b"\r\0\n"])
def test_a_lone_dot_is_smuggling_unless_between_two_crlf(before: bytes, after: bytes) -> None:
    proper = before.endswith(b"\r\n") and after == b"\r\n"
    assert is_smuggling(b"a" + before + b"." + after + b"b") != proper
