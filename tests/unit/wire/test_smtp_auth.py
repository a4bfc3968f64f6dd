"""AUTH: base64, PLAIN."""

from __future__ import annotations

import pytest

from posthouse.kit.errors import Malformed
from posthouse.wire.smtp_auth import decode_base64, parse_plain


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
