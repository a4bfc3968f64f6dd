"""The parameters of MAIL and RCPT, and xtext."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import Invalid, Malformed
from posthouse.wire.smtp_parameters import (
    decode_xtext,
    encode_envid,
    encode_orcpt,
    encode_xtext,
    parse_mail_parameters,
    parse_recipient_parameters,
)


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


@given(st.sampled_from(["rfc822", "utf-8", "x-400"]), st.text(min_size=1, max_size=30))
def test_an_original_recipient_goes_there_and_back_or_is_refused(kind: str, address: str) -> None:
    original = f"{kind};{address}"
    try:
        value = encode_orcpt(original)
    except Malformed:
        assert not address.isprintable() or (kind != "utf-8" and not address.isascii())
        return
    assert value.isascii()
    assert " " not in value
    assert parse_recipient_parameters(f"ORCPT={value}").orcpt == original


@given(st.text(max_size=110))
def test_an_envelope_id_goes_there_and_back_or_is_refused(envelope_id: str) -> None:
    try:
        value = encode_envid(envelope_id)
    except Malformed:
        assert not envelope_id or not envelope_id.isascii() or not envelope_id.isprintable() or len(envelope_id) > 33
        return
    assert parse_mail_parameters(f"ENVID={value}").envid == envelope_id
