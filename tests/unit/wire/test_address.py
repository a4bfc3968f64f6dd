"""Addresses: strict from callers, lenient from headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import Invalid
from posthouse.wire.address import (
    Address,
    format_address,
    is_ascii,
    normalize,
    parse_address,
    parse_address_list,
    split,
    to_ascii,
)
from unit.wire.timing import least_time


def emails(header: str) -> list[str]:
    return [address.email for address in parse_address_list(header)]


def pairs(header: str) -> list[tuple[str, str]]:
    return [(address.name, address.email) for address in parse_address_list(header)]


# --- RFC 5322 Appendix A ----------------------------------------------------------------------------


def test_rfc5322_a_1_2_different_types_of_mailboxes() -> None:
    assert pairs('"Joe Q. Public" <john.q.public@example.com>') == [("Joe Q. Public", "john.q.public@example.com")]
    assert pairs("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>") == [
        ("Mary Smith", "mary@x.test"),
        ("", "jdoe@example.org"),
        ("Who?", "one@y.test"),
    ]
    assert pairs('<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>') == [
        ("", "boss@nil.test"),
        ('Giant; "Big" Box', "sysservices@example.net"),
    ]


def test_rfc5322_a_1_3_groups_are_flattened() -> None:
    assert pairs("A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;") == [
        ("Ed Jones", "joe@where.test"),
        ("", "joe@where.test"),
        ("John", "jdoe@one.test"),
    ]
    assert pairs("Undisclosed recipients:;") == []


def test_rfc5322_a_5_comments_are_no_part_of_an_address() -> None:
    header = "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"
    assert pairs(header) == [("Pete", "pete@silly.test")]
    group = (
        "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n"
        "         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)"
    )
    assert emails(group) == ["c@public.example", "joe@example.org", "jdoe@one.test"]
    assert pairs("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;") == []


def test_rfc5322_a_6_obsolete_addresses_are_read() -> None:
    assert pairs("Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example") == [
        ("Mary Smith", "mary@example.net"),
        ("", "jdoe@test.example"),
    ]
    assert emails("<@a.test,@b.test:user@host.test>, next@host.test") == ["user@host.test", "next@host.test"]


# --- Sloppy lists -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("=?utf-8?Q?Doe=2C_J?= <x@y.z>, b@c.d", [("Doe, J", "x@y.z"), ("", "b@c.d")]),
        ("=?utf-8?Q?Doe, J?= <x@y.z>", [("Doe, J", "x@y.z")]),
        ('"=?utf-8?B?w6k=?=" <e@f.g>', [("é", "e@f.g")]),
        ("=?utf-8?Q?a=40b=2Ec=3E_=3C?= <e@f.g>", [("a@b.c> <", "e@f.g")]),
        ('"Doe, Jane" <j@x.org>, Bob <b@y.org>', [("Doe, Jane", "j@x.org"), ("Bob", "b@y.org")]),
        ("Doe, Jane <j@x.org>", [("Doe, Jane", "j@x.org")]),
        ("Name j@x.org", [("Name", "j@x.org")]),
        ("j@x.org (Jane Doe)", [("Jane Doe", "j@x.org")]),
        ("Jane <j@x.org", [("Jane", "j@x.org")]),
        ("Jane j@x.org>", [("Jane", "j@x.org")]),
        ("<<j@x.org>>", [("", "j@x.org")]),
        ('"j@x.org"', [("", "j@x.org")]),
        ('"real@bank.example" <thief@x.org>', [("real@bank.example", "thief@x.org")]),
        ("a@b.c <d@e.f>", [("a@b.c", "d@e.f")]),
        ('"unclosed <j@x.org>', [("unclosed", "j@x.org")]),
        ("a@b.c; d@e.f", [("", "a@b.c"), ("", "d@e.f")]),
        ("john . doe @ example . org", [("", "john.doe@example.org")]),
        ("'Jane' <j@x.org>", [("Jane", "j@x.org")]),
        ("root", [("", "root")]),
        ("root, j@x.org", [("", "root"), ("", "j@x.org")]),
        ("John Doe", []),
        ("<>", []),
        (", ,,", []),
        ("", []),
        ("j@[IPv6:::1]", [("", "j@[IPv6:::1]")]),
        ("mailto:j@x.org", [("", "j@x.org")]),
        ('"a b"@x.org', [("", '"a b"@x.org')]),
    ],
)
def test_sloppy_lists_are_read_as_people_would(header: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(header) == expected


def test_control_characters_and_direction_marks_do_not_survive() -> None:
    found = parse_address_list("\u202eJane\x00\r\n Doe\u2066 <j\x07@x\u202e.org>")
    assert found == (Address("j@x.org", "Jane Doe"),)


@given(st.text() | st.text(alphabet='<>@,;:()"\\ =?.ab[]\r\n\t'))
def test_reading_a_list_never_raises_and_yields_clean_values(text: str) -> None:
    for address in parse_address_list(text):
        assert address.email
        assert not any(ord(char) < 32 or char in "\x7f\u2028\u202e" for char in address.email + address.name)


@pytest.mark.parametrize("unit", ["(", '"', "<", "a@b,", "=?x?q?", '"\\"', "(\\", "<@a,", ":a", "a b ", " @", "["])
def test_reading_a_list_takes_linear_time(unit: str) -> None:
    parse_address_list(unit * (200_000 // len(unit)))  # quadratic time would be minutes


# --- Strict -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b", Address("a@b")),
        (" a@b.c ", Address("a@b.c")),
        ("<a@b.c>", Address("a@b.c")),
        ("Jane Doe <jane+tag@example.org>", Address("jane+tag@example.org", "Jane Doe")),
        ('"Doe, \\"J\\"" <j@x.org>', Address("j@x.org", 'Doe, "J"')),
        ("Doe, Jane <j@x.org>", Address("j@x.org", "Doe, Jane")),
        ("Jürgen <jürgen@exämple.org>", Address("jürgen@exämple.org", "Jürgen")),
        ('"a b"@x.org', Address('"a b"@x.org')),
        ("a@[192.0.2.1]", Address("a@[192.0.2.1]")),
        ("a@[IPv6:2001:db8::1]", Address("a@[IPv6:2001:db8::1]")),
    ],
)
def test_an_address_from_a_caller_is_read(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "@b", "a@", "a b@c", "a..b@c", ".a@b", "a@b..c", "a@-b", "a@b_c", "a@b.", "a@b c", "a@b, c@d",
        "A <a@b>, B <c@d>", "A <a@b", "A a@b>", '"A <a@b>', "a@b\r\nBcc: c@d", "a\x00@b", "a@[300.1.1.1]", "a@[x]",
        "a" * 65 + "@b", "a@" + "b" * 64, "a@" + "b." * 130 + "c", "a@☃☃/.b", "a\u200b@b", "a@\u202eb", "a<b@c",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_address(text)
    assert caught.value.message.endswith(".")
    assert "\r" not in caught.value.message and "\x00" not in caught.value.message


@given(st.text())
def test_strict_reading_gives_an_address_or_refuses(text: str) -> None:
    try:
        address = parse_address(text)
    except Invalid:
        return
    assert parse_address(address.email).email == address.email
    assert normalize(address.email)


# --- Keys and forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("email", "key"),
    [
        ("Jane.Doe@Example.ORG", "jane.doe@example.org"),
        ("JÜRGEN@EXÄMPLE.org", "jürgen@xn--exmple-cua.org"),
        ("j@xn--EXMPLE-cua.org", "j@xn--exmple-cua.org"),
        ("ju\u0308rgen@x.org", "jürgen@x.org"),
        ("a@straße.de", "a@xn--strae-oqa.de"),
        ("a@例え。jp", "a@xn--r8jz45g.jp"),
        ('"jane"@x.org', "jane@x.org"),
        ('"Jane Doe"@x.org', '"jane doe"@x.org'),
        ("a@b.", "a@b"),
        ("root", "root"),
    ],
)
def test_equal_addresses_have_one_key(email: str, key: str) -> None:
    assert normalize(email) == key
    assert normalize(key) == key


@given(st.text())
def test_making_a_key_never_raises(text: str) -> None:
    normalize(text)


def test_a_domain_in_a_labels_is_checked() -> None:
    assert to_ascii("BÜCHER.example") == "xn--bcher-kva.example"
    with pytest.raises(Invalid):
        to_ascii("a b.example")


def test_display_form_quotes_only_where_needed() -> None:
    assert format_address(Address("a@b", "Jane Doe")) == "Jane Doe <a@b>"
    assert format_address(Address("a@b", "Doe, Jane")) == '"Doe, Jane" <a@b>'
    assert format_address(Address("a@b", 'J "x" \\')) == '"J \\"x\\" \\\\" <a@b>'
    assert format_address(Address("a@b", "Jürgen")) == "Jürgen <a@b>"
    assert format_address(Address("a@b")) == "a@b"
    assert format_address(Address("a@b\r\n", "x\r\nBcc: y")) == '"x Bcc: y" <a@b>'


def test_the_parts_of_an_address() -> None:
    assert split('"a@b"@c') == ('"a@b"', "c")
    assert split("root") == ("root", "")
    assert is_ascii("a@exämple.org")
    assert not is_ascii("ä@example.org")


@pytest.mark.parametrize(
    ("header", "addresses"),
    [
        ("=?utf-8?q?kim=40shop.example?=", [("kim@shop.example", "")]),
        ("=?utf-8?b?S2ltIDxraW1Ac2hvcC5leGFtcGxlPg==?=", [("kim@shop.example", "Kim")]),
        ("=?utf-8?q?K=C3=AFm?= =?utf-8?q?_=3Ckim=40shop.example=3E?=", [("kim@shop.example", "Kïm")]),
        ("Kim <=?utf-8?q?kim=40shop.example?=>", [("kim@shop.example", "Kim")]),
        ("kim@=?utf-8?q?shop.example?=", [("kim@shop.example", "")]),
        ("=?utf-8?q?a=40x.example?=, =?utf-8?q?B_=3Cb=40x.example=3E?=", [("a@x.example", ""), ("b@x.example", "B")]),
        # The name before an address stays a name, whatever it looks like.
        ("=?utf-8?q?victim=40bank.example?= <thief@x.example>", [("thief@x.example", "victim@bank.example")]),
        ("=?utf-8?q?Doe=2C_Ann?= <ann@x.example>", [("ann@x.example", "Doe, Ann")]),
        ("<=?utf-8?q?no_address?=>", []),
        ("=?iso-2022-jp?B?GyRCOzNFRBsoQiA8eWFtYWRhQHguZXhhbXBsZT4=?=", [("yamada@x.example", "山田")]),
        ("=?gbk?B?xOO6w6Oo?= =?gbk?Q?=A3=A9=3Ca=40b.example=3E?=", [("a@b.example", "你好（）")]),
        ("<=?utf-8?q?Kim_=3Ckim=40x.example=3E?=>", [("kim@x.example", "Kim")]),
        ("=?us-ascii?q?=3Cboss=40bank.example=3E?= <thief@x.example>", [("thief@x.example", "<boss@bank.example>")]),
        ("=?utf-8?q?a=40b?=@c.example", []),
    ],
)
def test_an_address_that_is_encoded_whole_is_read(header: str, addresses: list[tuple[str, str]]) -> None:
    assert [(each.email, each.name) for each in parse_address_list(header)] == addresses


def test_a_caller_s_encoded_address_is_not_decoded() -> None:
    with pytest.raises(Invalid):
        parse_address("=?utf-8?q?kim=40shop.example?=")


def test_a_list_of_encoded_addresses_is_read_in_linear_time() -> None:
    short, long = (least_time(parse_address_list, "=?utf-8?q?a=40b.example?=," * count) for count in (1_000, 8_000))
    assert long < 24 * short + 0.1
