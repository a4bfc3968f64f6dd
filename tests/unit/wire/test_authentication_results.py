from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.kit.errors import Malformed
from posthouse.wire import raw_headers
from posthouse.wire.authentication_results import (
    AuthenticationResults,
    MethodResult,
    build,
    collect,
    is_forged,
    parse,
    read_all,
)
from posthouse.wire.dkim_verify import DkimResult
from posthouse.wire.dmarc import DmarcRecord, DmarcResult
from posthouse.wire.spf import SpfResult


# RFC 8601 appendix B
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org 1; none", AuthenticationResults("example.org")),
        (
            "example.com;\r\n          spf=pass smtp.mailfrom=example.net",
            AuthenticationResults(
                "example.com", 1, (MethodResult("spf", "pass", "", (("smtp.mailfrom", "example.net"),)),)
            ),
        ),
        (
            "example.com; auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=pass smtp.mailfrom=example.net",
            AuthenticationResults(
                "example.com",
                1,
                (
                    MethodResult("auth", "pass", "", (("smtp.auth", "sender@example.net"),)),
                    MethodResult("spf", "pass", "", (("smtp.mailfrom", "example.net"),)),
                ),
            ),
        ),
        (
            (
                'example.com;\r\n dkim=pass reason="good signature"\r\n header.i=@mail-router.example.net;\r\n'
                ' dkim=fail reason="bad signature"\r\n header.i=@newyork.example.com'
            ),
            AuthenticationResults(
                "example.com",
                1,
                (
                    MethodResult("dkim", "pass", "good signature", (("header.i", "@mail-router.example.net"),)),
                    MethodResult("dkim", "fail", "bad signature", (("header.i", "@newyork.example.com"),)),
                ),
            ),
        ),
        (
            (
                "foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail"
                "\r\n policy (A dot can go here) . (like that) expired\r\n (this surprised me) ="
                " (as I wasn't expecting it) 1362471462"
            ),
            AuthenticationResults(
                "foo.example.net", 1, (MethodResult("dkim", "fail", "", (("policy.expired", "1362471462"),)),)
            ),
        ),
    ],
)  # fmt: skip
def test_examples_of_rfc_8601_appendix_b(text, expected):
    assert parse(text.encode()) == expected


def test_real_fields_are_read():
    found = parse(
        b' mx.google.com;\r\n       dkim=pass header.i=@example.com header.s=s1 header.b="Ab/c+=d";\r\n'
        b"       spf=pass (google.com: domain of a@example.com designates 1.2.3.4 (x) as permitted sender)"
        b" smtp.mailfrom=a@example.com;\r\n       dmarc=pass (p=NONE; sp=NONE dis=NONE) header.from=example.com"
    )
    assert [(one.method, one.result) for one in found.results] == [
        ("dkim", "pass"), ("spf", "pass"), ("dmarc", "pass")
    ]  # fmt: skip
    assert found.results[0].properties[-1] == ("header.b", "Ab/c+=d")


RESULTS = AuthenticationResults(
    "mx.example.org",
    1,
    collect(
        spf=SpfResult("fail", "example.com", "mailfrom", reason=""),
        dkim=[
            DkimResult("pass", "example.com", "s1", "rsa-sha256", signature="AbC+/d="),
            DkimResult("fail", "example.net", "s2", "ed25519-sha256", reason='body hash "does" not match'),
        ],
        dmarcs=[DmarcResult("pass", "example.com", policy="reject", record=DmarcRecord())],
        iprev=("pass", "2001:db8::1"),
        mail_from='"odd (name"@example.com',
        helo="mail.example.com",
    ),
)


def test_what_we_write_is_read_back():
    field = build(RESULTS)
    ((name, value),), _ = raw_headers.split(field)
    assert name == b"Authentication-Results"
    assert parse(value) == RESULTS
    assert max(map(len, field.split(b"\r\n"))) <= 78
    assert b"header.a=rsa-sha256" in field
    assert b"policy.dmarc=reject" in field


def test_nothing_checked_says_none():
    assert build(AuthenticationResults("mx.example.org")) == b"Authentication-Results: mx.example.org;\r\n\tnone\r\n"


def test_null_sender_is_told_by_its_helo_name():
    (one,) = collect(spf=SpfResult("pass", "mail.example.com", "helo"), helo="mail.example.com")
    assert one.properties == (("smtp.helo", "mail.example.com"),)


def test_unsigned_mail_has_no_properties():
    (one,) = collect(dkim=[DkimResult("none", reason="not signed")])
    assert (one.method, one.result, one.properties) == ("dkim", "none", ())


@given(st.text(max_size=60), st.text(max_size=200))
@example("\ud800", "\udfff")
def test_values_from_outside_add_nothing(value, reason):
    results = AuthenticationResults("mx", 1, (MethodResult("spf", "fail", reason, (("smtp.mailfrom", value),)),))
    field = build(results)
    fields, offset = raw_headers.split(field)
    assert offset == len(field)
    (found,) = parse(fields[0][1]).results
    assert (found.method, found.result) == ("spf", "fail")
    assert len(found.properties) == 1


def without_forged(raw, authserv_id):
    return raw_headers.without(raw, lambda field: is_forged(field, authserv_id))


FORGED = [
    b"Authentication-Results: mx.example.org; dkim=pass header.d=bank.example\r\n",
    b"authentication-RESULTS :\r\n\tMX.Example.ORG. 1;\r\n spf=pass\r\n",
    b'Authentication-Results: (a) "mx.example.org" (b); dmarc=pass\r\n',
    b"Authentication-Results: mx.example.org\r\n",
    b"Authentication-Results: (unclosed mx.example.org; dmarc=pass\r\n",
    b"Authentication-Results: ; mx.example.org; dmarc=pass =\r\n",
]


@pytest.mark.parametrize("field", FORGED)
def test_fields_under_our_name_are_taken_out(field):
    raw = b"Received: x\r\n" + field + b"From: a@b\r\nSubject: mx.example.org\n\r\n" + field
    cleaned = without_forged(raw, "mx.example.org")
    assert cleaned == b"Received: x\r\nFrom: a@b\r\nSubject: mx.example.org\n\r\n" + field


def test_fields_of_others_stay():
    raw = (
        b'Authentication-Results: mx.example.net; spf=pass reason="mx.example.org"\r\n'
        b"Authentication-Results: notmx.example.org; spf=pass\r\nX-A: y\r\n\r\nbody"
    )
    assert without_forged(raw, "mx.example.org") == raw
    assert [one.authserv_id for one in read_all(raw)] == ["mx.example.net", "notmx.example.org"]


@pytest.mark.parametrize(
    "value", [b"", b";", b"a b c; spf=pass", b"a; spf", b"a; spf=pass what", b"a; spf=pass x.y=", b"a; =pass"]
)
def test_what_cannot_be_read_is_refused(value):
    with pytest.raises(Malformed):
        parse(value)


@pytest.mark.parametrize(
    "value",
    [b"(" * 500_000, b'a; spf=pass "' * 40_000, b"a;" + b" " * 500_000, b"a;" * 300_000, b'a;"' + b'\\"' * 30_000],
)
def test_hostile_fields_take_linear_time(value):
    without_forged(b"Authentication-Results: " + value + b"\r\n\r\n", "mx.example.org")


@given(st.binary(max_size=120))
def test_any_octets_are_read_or_refused(octets):
    try:
        parse(octets)
    except Malformed:
        pass
