from __future__ import annotations

import base64
import hashlib
import importlib.util

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from posthouse.kit.errors import Invalid, Malformed
from posthouse.wire import dkim, dkim_sign, raw_headers

# 768 bits, made for this test: libraries no longer make keys that short.
SHORT_RSA = """
MIIB5AIBADANBgkqhkiG9w0BAQEFAASCAc4wggHKAgEAAmEAuyZqaSErdJG4ABKTJjXG12DTAU5jVBSeb6LpqLdCZe6e5Z847zv8
CQD+JXfW9Hm3PW67+GGxRibDRWAvqhSe2pQu+SYMH63Ltk7O4+sI7cmWkrbmGLj4iQa9jV9fEnNLAgMBAAECYA4MvEBYNSLzLZUT
z+g2cU8J/c1DTUGqqppG6LO5zkpIt7UVVvjez/T9FhdJ/+Eqoe4b4elVoZqwVoxdvLZ3iRmxR6NyyfyRbDr7n+m+YV7Mu6PYI4LK
FoLU4ZL/UgcEwQIxAOWFND8Yj2QlMeA3mDg+pi4Spkt+mwDG4Yy0YQPeKWWVJ71xQnXd9ad5/xNLQMfanQIxANC90mEP86lLLn8o
86K7xP5iqVEeNaEDmFil7w2C7dTlN3DBt+FrYsf7PXFKYw+NBwIweJJtS+gfC8DuXpdWA9YFfpaVfXtY+iOAQWZQwLNok9CzO7XP
8BNWBVD1SrFxqouRAjEAhnSe3JKP2s5ohtP0CzBztYALnAqfdLWCHifUEZnyZB25VlIRhYvMNxBoBV9q64tlAjAuQC7uA09EtbvG
fwm2T+chE1HMA7QnmRog96pK9PKqpWjmiI9e7Y/AkEefeN1NH1w=
"""
RSA_PEM, RSA_RECORD = dkim_sign.generate_key("rsa-sha256")
ED_PEM, ED_RECORD = dkim_sign.generate_key("ed25519-sha256")
RSA_KEY = dkim_sign.load_key("example.com", "r1", RSA_PEM)
ED_KEY = dkim_sign.load_key("example.com", "e1", ED_PEM)
RECORDS = {b"r1._domainkey.example.com.": RSA_RECORD, b"e1._domainkey.example.com.": ED_RECORD}

HEADER = (
    b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: hello\r\n"
    b"Date: Mon, 6 Jan 2025 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
)
AWKWARD = {
    "plain": HEADER + b"\r\nhello\r\n",
    "empty body": HEADER + b"\r\n",
    "no body at all": HEADER,
    "only empty lines": HEADER + b"\r\n\r\n\r\n\r\n",
    "trailing blank lines": HEADER + b"\r\nhello\r\n\r\n\r\n",
    "trailing white space lines": HEADER + b"\r\nhello \t \r\n \t\r\n\r\n",
    "tabs and runs": HEADER + b"\r\na\t\tb  c \t d\te\r\n\tindented\r\n",
    "no trailing CRLF": HEADER + b"\r\nhello",
    "8-bit": HEADER + b"X-N: f\xfcr\r\n\r\nGr\xc3\xbc\xc3\x9fe \xff\xfe\r\n",
    "folded": HEADER.replace(b"hello", b"a very\r\n\tlong  \r\n  subject \t") + b"\r\nx\r\n",
    "folding only": HEADER.replace(b" hello", b"\r\n hello") + b"\r\nx\r\n",
    "bare LF": (HEADER + b"\r\nhello\r\n \r\n").replace(b"\r\n", b"\n"),
    "form feed is no white space": HEADER + b"\r\na\x0c b\x0b\r\n",
    "dots": HEADER + b"\r\n.\r\n..\r\n",
    "many received": b"Received: by a; now\r\n" * 3 + HEADER + b"\r\nx\r\n",
    "several unsubscribes": HEADER + b"List-Unsubscribe: <a>\r\nLIST-Unsubscribe: <b>\r\n\r\nx\r\n",
    "empty subject": HEADER.replace(b" hello", b"") + b"\r\nx\r\n",
    "long line": HEADER + b"\r\n" + b"x y " * 5000 + b"\r\n",
}


def oracle(raw: bytes, index: int = 0) -> bool:
    def lookup(name: bytes, timeout: float = 5) -> bytes:
        return RECORDS[name].encode()

    return bool(dkimpy.DKIM(raw).verify(index, dnsfunc=lookup))


@pytest.mark.parametrize("raw", AWKWARD.values(), ids=AWKWARD.keys())
def test_another_verifier_accepts_the_rsa_signature(raw):
    assert oracle(dkim_sign.sign(raw, [RSA_KEY], at_s=1_700_000_000) + raw)


@pytest.fixture
def nacl():
    """What dkimpy needs to read Ed25519; without it nothing would be compared."""
    if importlib.util.find_spec("nacl") is None:
        pytest.fail("dkimpy reads Ed25519 only beside PyNaCl, of the `dev` group: it is not installed", pytrace=False)


@pytest.mark.usefixtures("nacl")
@pytest.mark.parametrize("raw", AWKWARD.values(), ids=AWKWARD.keys())
def test_another_verifier_accepts_both_signatures(raw):
    signed = dkim_sign.sign(raw, [ED_KEY, RSA_KEY], at_s=1_700_000_000) + raw
    assert oracle(signed, 0)
    assert oracle(signed, 1)


def test_another_verifier_notices_one_changed_octet():
    raw = AWKWARD["plain"]
    signed = dkim_sign.sign(raw, [RSA_KEY], at_s=1_700_000_000) + raw
    assert oracle(signed)
    with pytest.raises(dkimpy.ValidationError):
        oracle(signed.replace(b"\r\nhello", b"\r\nhallo"))
    assert not oracle(b"From: evil@example.net\r\n" + signed)
    assert not oracle(b"Cc: evil@example.net\r\n" + signed)
    assert not oracle(b"Subject: win a prize\r\n" + signed)


def test_signature_of_rfc_8463_appendix_a_is_reproduced():
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = dkim_sign.load_key("football.example.com", "brisbane", seed)
    raw = (
        b"From: Joe SixPack <joe@football.example.com>\r\n"
        b"To: Suzie Q <suzie@shopping.example.net>\r\n"
        b"Subject: Is dinner ready?\r\n"
        b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
        b"\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    )
    fields, offset = raw_headers.split(raw)
    body = dkim.canonical_body(raw[offset:], "relaxed")
    assert base64.b64encode(hashlib.sha256(body).digest()) == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    names = b"from : to : subject : date : message-id : from : subject : date".split(b" : ")
    own = (
        b" v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
        b" subject : date : message-id : from : subject : date;\r\n"
        b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
    )
    data = b"".join(dkim.canonical_field(field, "relaxed") for field in dkim.select(fields, names))
    data += dkim.canonical_field((b"DKIM-Signature", own), "relaxed")[:-2]
    assert isinstance(key.private_key, Ed25519PrivateKey)
    assert base64.b64encode(key.private_key.sign(hashlib.sha256(data).digest())) == (
        b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    )
    assert dkim_sign.dns_name(key) == "brisbane._domainkey.football.example.com"
    assert dkim_sign.dns_record(key).endswith("p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")


def test_every_oversigned_field_is_named_once_more_than_it_occurs():
    field = dkim_sign.sign(AWKWARD["plain"], [ED_KEY], at_s=1)
    names = raw_headers.unfold(field).replace(b"\t", b"").split(b"h=")[1].split(b";")[0].lower().split(b":")
    for name in dkim_sign.OVERSIGNED:
        present = AWKWARD["plain"].lower().count(b"\n" + name.lower().encode() + b":") + (name == "From")
        assert names.count(name.lower().encode()) == present + 1


def test_signature_lines_stay_within_78_octets_and_end_in_crlf():
    field = dkim_sign.sign(AWKWARD["plain"], [RSA_KEY, ED_KEY], at_s=1_700_000_000, expires_s=86_400)
    assert field.endswith(b"\r\n")
    assert field.count(b"\n") == field.count(b"\r\n")
    assert max(map(len, field.split(b"\r\n"))) <= 78
    assert b"x=1700086400" in field
    assert b"l=" not in field


@pytest.mark.parametrize("raw", [b"To: a@b\r\n\r\nx", HEADER + b"From: evil@example.net\r\n\r\nx"])
def test_message_without_exactly_one_from_is_not_signed(raw):
    with pytest.raises(Malformed):
        dkim_sign.sign(raw, [RSA_KEY], at_s=1)


def test_no_keys_make_no_signature():
    assert dkim_sign.sign(AWKWARD["plain"], [], at_s=1) == b""


def test_keys_are_read_from_pem_and_der():
    der = RSA_KEY.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    traditional = RSA_KEY.private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    for private in (der, traditional):
        key = dkim_sign.load_key("Example.COM.", "r1", private)
        assert key.domain == "example.com"
        assert dkim_sign.dns_record(key) == RSA_RECORD


def test_record_is_cut_into_strings_of_255_octets():
    strings = dkim_sign.split_record(RSA_RECORD)
    assert [len(string) <= 255 for string in strings] == [True, True]
    assert "".join(strings) == RSA_RECORD


@pytest.mark.parametrize(
    "arguments",
    [
        ("example.com", "s", b"not a key"),
        ("exa mple.com", "s", ED_PEM),
        ("bücher.example", "s", ED_PEM),
        ("example.com", "s;t=y", ED_PEM),
        ("example.com", "", ED_PEM),
    ],
)
def test_unusable_key_or_name_is_refused(arguments):
    with pytest.raises(Invalid):
        dkim_sign.load_key(*arguments)


def test_short_rsa_key_is_refused():
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = short.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert dkim_sign.load_key("example.com", "s", pem).algorithm == "rsa-sha256"
    shorter = base64.b64decode(SHORT_RSA)
    with pytest.raises(Invalid, match="not 768"):
        dkim_sign.load_key("example.com", "s", shorter)


@pytest.mark.parametrize(
    "body",
    [b" " * 2_000_000, b"\r\n" * 1_000_000, b" \t\r" * 700_000, b"\r" * 2_000_000, b"\t\r\n " * 500_000],
    ids=["spaces", "empty lines", "bare CRs", "only CR", "white lines"],
)
def test_hostile_bodies_take_linear_time(body):
    # Quadratic work on two million octets would not end within the life of a test run.
    assert dkim_sign.sign(HEADER + b"\r\n" + body, [ED_KEY], at_s=1)


def test_bare_cr_before_the_last_line_end_is_kept():
    assert dkim.canonical_body(b"a\r\r\n\r\n", "simple") == b"a\r\r\n"
    assert dkim.canonical_body(b"a\r\r", "simple") == b"a\r\r\r\n"


# RFC 6376 §3.4.5
def test_canonical_forms_of_rfc_6376_3_4_5():
    raw = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"
    fields, offset = raw_headers.split(raw)
    body = raw[offset:]
    assert b"".join(dkim.canonical_field(f, "relaxed") for f in fields) == b"a:X\r\nb:Y Z\r\n"
    assert b"".join(dkim.canonical_field(f, "simple") for f in fields) == b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
    assert dkim.canonical_body(body, "relaxed") == b" C\r\nD E\r\n"
    assert dkim.canonical_body(body, "simple") == b" C \r\nD \t E\r\n"
    assert dkim.canonical_body(b"", "simple") == b"\r\n"
    assert dkim.canonical_body(b"", "relaxed") == b""
