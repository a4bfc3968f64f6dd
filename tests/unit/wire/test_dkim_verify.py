from __future__ import annotations

import itertools

import dkim as dkimpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.wire import dkim_sign
from posthouse.wire.dkim_verify import verify
from posthouse.wire.resolver import NameNotFound, ResolverFailure

RSA_PEM, RSA_RECORD = dkim_sign.generate_key("rsa-sha256")
ED_PEM, ED_RECORD = dkim_sign.generate_key("ed25519-sha256")
RSA_KEY = dkim_sign.load_key("example.com", "r1", RSA_PEM)
ED_KEY = dkim_sign.load_key("example.com", "e1", ED_PEM)
NOW = 1_700_000_000


class Dns:
    """TXT records by name; an exception instead of records is raised."""

    def __init__(self, **records):
        self.records = {"r1": [RSA_RECORD.encode()], "e1": [ED_RECORD.encode()]} | records
        self.asked = []

    async def txt(self, name):
        self.asked.append(name)
        selector = name.partition("._domainkey.")[0]
        found = self.records.get(selector, NameNotFound(name))
        if isinstance(found, Exception):
            raise found
        return found

    async def mx(self, name):
        raise NotImplementedError

    addresses = ptr = mx


HEADER = (
    b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: a\r\n  folded\tone \r\n"
    b"Date: Mon, 6 Jan 2025 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
)
BODIES = [b"", b"hello\r\n", b"\r\n\r\n", b" a \t b\t\r\n\r\nc  \r\n \r\n\r\n", b"gr\xc3\xbcn \xff\r\n", b"no end"]
PLAIN = HEADER + b"\r\nhello\r\n"


def signed(raw=PLAIN, *keys, **options):
    return dkim_sign.sign(raw, keys or [RSA_KEY], at_s=NOW - 60, **options) + raw


async def check(raw, dns=None, **options):
    return await verify(raw, dns or Dns(), at_s=NOW, **options)


async def one(raw, dns=None):
    (result,) = await check(raw, dns)
    return result


async def test_our_own_signatures_pass():
    for body in BODIES:
        rsa, ed = await check(signed(HEADER + b"\r\n" + body, RSA_KEY, ED_KEY))
        assert (rsa.result, rsa.domain, rsa.selector, rsa.algorithm, rsa.key_bits) == (
            "pass", "example.com", "r1", "rsa-sha256", 2048,
        )  # fmt: skip
        assert (ed.result, ed.algorithm, ed.key_bits) == ("pass", "ed25519-sha256", 256)
        assert rsa.signed_headers.count("from") == 2
        assert rsa.reason == ""
        assert rsa.warnings == ()
        assert len(rsa.signature) == 8


@pytest.mark.parametrize("forms", list(itertools.product([b"simple", b"relaxed"], repeat=2)))
@pytest.mark.parametrize("body", BODIES)
async def test_signatures_of_another_signer_pass_in_every_form(forms, body):
    raw = HEADER + b"\r\n" + body
    # dkimpy leaves white space at the end of a last line without line end; over SMTP there is none.
    field = dkimpy.sign(raw, b"r1", b"example.com", RSA_PEM, canonicalize=forms)
    result = await one(field + raw)
    assert result.result == "pass", result.reason


@given(st.sampled_from([b"simple", b"relaxed"]), st.text("a \t\r\n:;=", max_size=40))
@settings(max_examples=60)
async def test_we_agree_with_another_signer_on_awkward_bodies(form, text):
    raw = HEADER + b"\r\n" + text.replace("\r", "").replace("\n", "\r\n").encode() + b".\r\n"
    field = dkimpy.sign(raw, b"r1", b"example.com", RSA_PEM, canonicalize=(form, form))
    assert (await one(field + raw)).result == "pass"


TEST_RECORD = (
    b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id"
    b"Y6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lx"
    b"j+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)


# RFC 8463 appendix A
async def test_both_signatures_of_rfc_8463_appendix_a_pass():
    raw = b"""DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
"""
    dns = Dns(
        brisbane=[b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="],
        test=[TEST_RECORD],
    )
    ed, rsa = await check(raw, dns)
    assert (ed.result, ed.domain, ed.selector) == ("pass", "football.example.com", "brisbane")
    assert (rsa.result, rsa.key_bits) == ("pass", 1024)
    assert dns.asked == [
        "brisbane._domainkey.football.example.com", "test._domainkey.football.example.com"
    ]  # fmt: skip
    changed = await check(raw.replace(b"dinner", b"Dinner"), dns)
    assert [result.result for result in changed] == ["fail", "fail"]


async def test_unsigned_message_says_none():
    assert (await one(PLAIN)).result == "none"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\r\n\r\nhello", b"\r\n\r\nhallo", "body hash does not match"),
        (b"Subject: a", b"Subject: b", "signature does not verify"),
        (b"To: bob@example.org\r\n", b"", "signature does not verify"),
        (b"To: bob", b"Cc: eve@example.net\r\nTo: bob", "signature does not verify"),
        (b"\tb=", b"\tb=AAAA", "signature does not verify"),
        (b"s=r1", b"s=r2", "signature does not verify"),
    ],
)
async def test_any_change_fails(old, new, reason):
    raw = signed()
    dns = Dns(r2=[RSA_RECORD.encode()])
    assert (await one(raw, dns)).result == "pass"
    assert old in raw
    result = await one(raw.replace(old, new, 1), dns)
    assert (result.result, result.reason) == ("fail", reason)


async def test_relaxed_form_bears_what_relays_do():
    raw = signed()
    relayed = raw.replace(b"Subject: a\r\n  folded\tone ", b"SUBJECT :  a folded \r\n one")
    relayed = relayed.replace(b"\r\n\r\nhello", b"\r\n\r\nhello \t\r\n\r\n")
    assert (await one(b"Received: by x; now\r\n" + relayed)).result == "pass"
    assert (await one(raw.replace(b"\r\n", b"\n"))).result == "pass"


async def test_second_from_is_never_passed():
    for field in (b"From: eve@example.net\r\n", b"fRoM : eve@example.net\r\n"):
        assert (await one(field + signed())).result == "fail"  # ours is oversigned
        weak = signed(PLAIN, RSA_KEY, oversigned=(), signed=("From", "Subject"))
        assert (await one(weak)).result == "pass"
        result = await one(field + weak)
        assert (result.result, result.reason) == ("policy", "more than one From")


async def test_pass_says_which_fields_it_does_not_cover():
    weak = signed(PLAIN, RSA_KEY, oversigned=(), signed=("From", "Subject"))
    result = await one(weak)
    assert result.result == "pass"
    assert result.warnings == ("to is not signed", "date is not signed", "message-id is not signed")


# What signers in the field sign, once each.
USUAL = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type")
MIME = HEADER + b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello\r\n"


@pytest.mark.parametrize(
    "field",
    [
        b"Subject: win a prize",
        b"subject : win a prize",
        b"Content-Type: text/html",
        b"Content-Type: multipart/mixed; boundary=x",
        b"To: eve@example.net",
        b"Cc: eve@example.net",
        b"Reply-To: eve@example.net",
        b"Content-Transfer-Encoding: base64",
        b"Date: Mon, 6 Jan 2020 10:00:00 +0000",
        b"Message-ID: <2@example.com>",
        b"Content-Disposition: attachment",
    ],
)
async def test_a_field_added_to_what_is_signed_once_is_not_vouched_for(field):
    weak = signed(MIME, RSA_KEY, oversigned=(), signed=USUAL)
    assert (await one(weak)).result == "pass"
    assert (await one(field + b"\r\n" + weak)).result == "policy"


async def test_a_second_field_is_not_vouched_for_wherever_it_is_put():
    weak = signed(MIME, RSA_KEY, oversigned=(), signed=USUAL)
    below = weak.replace(b"Subject: a", b"Subject: win a prize\r\nSubject: a")
    result = await one(below)
    assert (result.result, result.reason) == ("policy", "more than one Subject, and not all of them signed")
    unsigned = signed(MIME, RSA_KEY, oversigned=(), signed=("From", "Subject"))
    twice = unsigned.replace(b"Content-Type: text/plain", b"Content-Type: text/html\r\nContent-Type: text/plain")
    assert (await one(twice)).result == "policy"


async def test_a_subject_that_is_not_signed_is_not_vouched_for():
    without = PLAIN.replace(b"Subject: a\r\n  folded\tone \r\n", b"")
    weak = signed(without, RSA_KEY, oversigned=(), signed=("From", "To", "Date"))
    assert (await one(weak)).result == "pass"
    for place in (0, weak.index(b"From: Ann"), weak.index(b"Message-ID: ")):
        result = await one(weak[:place] + b"Subject: win a prize\r\n" + weak[place:])
        assert (result.result, result.reason) == ("policy", "Subject is not signed")


async def test_unsigned_fields_below_the_signature_are_ordinary():
    html = HEADER + b"MIME-Version: 1.0\r\nReply-To: a@example.com\r\nContent-Type: text/html\r\n\r\n<p>hi</p>\r\n"
    weak = signed(html, RSA_KEY, oversigned=(), signed=("From", "Subject", "Date"))
    assert (await one(weak)).result == "pass"
    relayed = b"Received: by x; now\r\nDelivered-To: b@x.example\r\nX-Spam: no\r\nList-Id: <l.x.example>\r\n" + weak
    assert (await one(relayed)).result == "pass"


async def test_a_boundary_put_in_the_place_of_the_signers_is_refused():
    body = b"--signed\r\nContent-Type: text/plain\r\n\r\nYou wrote:\r\n--mine\r\nContent-Type: text/plain\r\n\r\nPay.\r\n--signed--\r\n"
    head = HEADER + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="signed"\r\n\r\n'
    weak = signed(head + body, RSA_KEY, oversigned=(), signed=("From", "Subject", "MIME-Version"))
    assert (await one(weak)).result == "pass"
    assert (await one(weak.replace(b'boundary="signed"', b'boundary="mine"'))).result == "policy"
    preamble = signed(
        head + b"This is a message in\r\n-- several parts.\r\n" + body,
        RSA_KEY,
        oversigned=(),
        signed=("From", "Subject"),
    )
    assert (await one(preamble)).result == "pass"


async def test_text_appended_under_a_length_is_refused():
    field = dkimpy.sign(PLAIN, b"r1", b"example.com", RSA_PEM, length=True)
    exact = await one(field + PLAIN)
    assert exact.result == "pass"
    assert "l= is used" in exact.warnings
    longer = await one(field + PLAIN + b"and buy this\r\n")
    assert (longer.result, longer.reason) == ("policy", "signature covers 7 of 21 octets of the body")
    shorter = await one(field + PLAIN.replace(b"hello", b"he"))
    assert shorter.result == "neutral"


async def test_expired_signature_fails():
    assert (await one(signed(PLAIN, RSA_KEY, expires_s=61))).result == "pass"
    result = await one(signed(PLAIN, RSA_KEY, expires_s=30))
    assert (result.result, result.reason) == ("fail", "signature has expired")


@pytest.mark.parametrize(
    ("record", "result", "reason"),
    [
        (RSA_RECORD.replace("v=DKIM1; ", ""), "pass", ""),
        (RSA_RECORD.replace("k=rsa; h=sha256; ", ""), "pass", ""),
        (RSA_RECORD + "; n=a note; t=s; s=email:other; x=unknown", "pass", ""),
        (RSA_RECORD.replace("p=MIIB", "p= MI IB\r\n "), "pass", ""),
        (RSA_RECORD.replace("v=DKIM1", "v=DKIM2"), "permerror", "key record: unknown version"),
        (RSA_RECORD[9:] + "; v=DKIM1", "permerror", "key record: unknown version"),
        (RSA_RECORD.replace("k=rsa", "k=ed25519"), "permerror", "key is of another kind than the signature"),
        (RSA_RECORD.replace("h=sha256", "h=sha1"), "permerror", "key does not allow the hash"),
        (RSA_RECORD + "; s=tlsrpt", "permerror", "key is not for mail"),
        ("v=DKIM1; p=", "permerror", "key is revoked"),
        ("v=DKIM1", "permerror", "key record has no key"),
        ("v=DKIM1; p=AAAA", "permerror", "key cannot be read"),
        ("v=DKIM1; p=*", "permerror", "key cannot be read"),
        ("v=spf1 -all", "permerror", "key record: unknown version"),
        ("hello", "permerror", "key record: not a list of tags"),
        (ED_RECORD.replace("ed25519", "rsa"), "permerror", "key cannot be read"),
    ],
    ids=range(16),  # not the record: its key is another one in each process
)
async def test_key_records_are_read_as_they_should(record, result, reason):
    found = await one(signed(), Dns(r1=[record.encode()]))
    assert (found.result, found.reason) == (result, reason)


async def test_good_key_beside_others_is_found():
    other = dkim_sign.generate_key("rsa-sha256")[1]
    dns = Dns(r1=[b"v=spf1 -all", other.encode(), RSA_RECORD.encode()])
    assert (await one(signed(), dns)).result == "pass"


async def test_look_up_decides_between_never_and_not_now():
    assert (await one(signed(), Dns(r1=NameNotFound("x")))).result == "permerror"
    assert (await one(signed(), Dns(r1=ResolverFailure("x")))).result == "temperror"


async def test_key_in_testing_does_no_harm():
    dns = Dns(r1=[(RSA_RECORD + "; t=y").encode()])
    good = await one(signed(), dns)
    assert (good.result, good.is_testing) == ("pass", True)
    assert (await one(signed().replace(b"Subject: a", b"Subject: b"), dns)).result == "neutral"


async def test_short_rsa_key_is_refused_by_policy():
    pem = dkim_sign.generate_key("rsa-sha256", rsa_bits=1024)
    key = dkim_sign.load_key("example.com", "r1", pem[0])
    assert (await one(signed(PLAIN, key), Dns(r1=[pem[1].encode()]))).result == "pass"
    short = (
        "v=DKIM1; p=MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhALsmamkhK3SRuAASkyY1xtdg0wFOY1QUnm+i6ai3QmXunuWfOO"
        "87/AkA/iV31vR5tz1uu/hhsUYmw0VgL6oUntqULvkmDB+ty7ZOzuPrCO3JlpK25hi4+IkGvY1fXxJzSwIDAQAB"
    )
    result = await one(signed(), Dns(r1=[short.encode()]))
    assert (result.result, result.reason) == ("policy", "RSA key of 768 bits")


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        (b"v=1;", b"v=2;", "neutral"),
        (b"v=1;", b"", "neutral"),
        (b"v=1;", b"v=1; v=1;", "neutral"),
        (b"v=1;", b"v=1; ;;", "fail"),
        (b"v=1;", b"v=1; unknown=x;", "fail"),
        (b"v=1;", b"v=1; what;", "neutral"),
        (b"v=1;", b"v=1; \xff=2;", "neutral"),
        (b"a=rsa-sha256", b"a=rsa-sha1", "policy"),
        (b"a=rsa-sha256", b"a=dsa-sha256", "neutral"),
        (b"a=rsa-sha256", b"a=ed25519-sha256", "permerror"),
        (b"c=relaxed/relaxed", b"c=nowsp", "neutral"),
        (b"c=relaxed/relaxed", b"c=relaxed", "fail"),
        (b"d=example.com", b"d=com", "neutral"),
        (b"d=example.com", b"d=exa mple.com", "neutral"),
        (b"d=example.com", b"d=", "neutral"),
        (b"h=From:From:", b"h=", "permerror"),
        (b"bh=", b"bh=*", "neutral"),
        (b"v=1;", b"v=1; q=dns/other;", "neutral"),
        (b"v=1;", b"v=1; q=dns/other : dns/txt;", "fail"),
        (b"v=1;", b"v=1; i=ann@example.net;", "permerror"),
        (b"v=1;", b"v=1; i=ann@evilexample.com;", "permerror"),
        (b"v=1;", b"v=1; i=ann@sub.example.com;", "fail"),
        (b"v=1;", b"v=1; l=x;", "neutral"),
        (b"v=1;", b"v=1; l=" + b"9" * 77 + b";", "neutral"),
        (b"v=1;", b"v=1; x=5;", "neutral"),
    ],
)
async def test_unfit_signatures_have_their_result(old, new, result):
    raw = signed()
    assert raw.count(old) >= 1
    assert (await one(raw.replace(old, new, 1))).result == result


async def test_strict_key_forbids_identities_of_subdomains():
    dns = Dns(r1=[(RSA_RECORD + "; t=s").encode()])
    result = await one(signed().replace(b"v=1;", b"v=1; i=ann@sub.example.com;"), dns)
    assert (result.result, result.reason) == ("permerror", "key forbids i= of a subdomain")


async def test_only_the_first_few_signatures_are_looked_at():
    raw = PLAIN
    dns = Dns()
    results = await check(signed(raw, *[RSA_KEY] * 9), dns, max_signatures=5)
    assert [result.result for result in results] == ["pass"] * 5
    assert len(dns.asked) == 5


async def test_nothing_is_looked_up_for_a_changed_body():
    dns = Dns()
    await check(signed() + b"more\r\n", dns)
    assert dns.asked == []


async def test_body_of_millions_of_spaces_is_checked_in_linear_time():
    raw = HEADER + b"\r\n" + b" " * 3_000_000 + b"x" + b"\r\n" * 500_000
    field = dkim_sign.sign(raw, [ED_KEY], at_s=NOW)
    assert (await one(field + raw)).result == "pass"


@given(st.binary(max_size=120))
async def test_any_octets_as_signature_have_a_result(octets):
    for raw in (b"DKIM-Signature:" + octets + b"\r\n" + PLAIN, octets):
        for result in await check(raw):
            assert result.result != "pass"
