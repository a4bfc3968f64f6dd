from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
import svix as svix_package

from posthouse.kit.errors import Invalid
from posthouse.wire import svix

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"event": "message.received", "text": "Gr\xc3\xbc\xc3\x9fe"}'


def headers(msg_id: str, timestamp_s: int, signature: str) -> dict[str, str]:
    return {"svix-id": msg_id, "svix-timestamp": str(timestamp_s), "svix-signature": signature}


# The example of the published verification guide.
def test_signature_of_the_published_example_is_reproduced():
    signature = svix.sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_published_client_accepts_our_signature():
    secret = svix.new_secret()
    now = int(datetime.now(UTC).timestamp())
    signature = svix.sign(secret, "msg_1", now, BODY)
    svix_package.Webhook(secret).verify(BODY, headers("msg_1", now, signature))
    with pytest.raises(svix_package.WebhookVerificationError):
        svix_package.Webhook(secret).verify(BODY + b" ", headers("msg_1", now, signature))


def test_we_accept_the_published_clients_signature():
    at = datetime.fromtimestamp(1_700_000_000, UTC)
    signature = svix_package.Webhook(SECRET).sign("msg_2", at, BODY.decode())
    assert signature == svix.sign(SECRET, "msg_2", 1_700_000_000, BODY)
    assert svix.verify(SECRET, "msg_2", 1_700_000_000, BODY, signature, now_s=1_700_000_010)


def test_one_good_signature_among_several_is_enough():
    good = svix.sign(SECRET, "m", 100, BODY)
    other = svix.sign(svix.new_secret(), "m", 100, BODY)
    assert svix.verify(SECRET, "m", 100, BODY, f"v1a,xx {other} v1,%% {good}", now_s=100)
    assert not svix.verify(SECRET, "m", 100, BODY, other, now_s=100)
    assert not svix.verify(SECRET, "m", 100, BODY, "", now_s=100)


@pytest.mark.parametrize(
    ("msg_id", "timestamp_s", "body", "now_s"),
    [("x", 100, BODY, 100), ("m", 101, BODY, 100), ("m", 100, b"", 100), ("m", 100, BODY, 401)],
    ids=["id", "timestamp", "body", "too old"],
)
def test_anything_changed_or_late_is_refused(msg_id, timestamp_s, body, now_s):
    signature = svix.sign(SECRET, "m", 100, BODY)
    assert svix.verify(SECRET, "m", 100, BODY, signature, now_s=400)
    assert not svix.verify(SECRET, msg_id, timestamp_s, body, signature, now_s=now_s)


def test_full_stop_in_the_id_cannot_pass_for_a_timestamp():
    with pytest.raises(Invalid):
        svix.sign(SECRET, "m.100", 1, BODY)
    good = svix.sign(SECRET, "m", 100, b"1." + BODY)
    assert not svix.verify(SECRET, "m.100", 1, BODY, good, now_s=1)


def test_new_secrets_differ_and_hold_32_octets():
    first, second = svix.new_secret(), svix.new_secret()
    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 32


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***", "whsec_" + "QUJD"])
def test_unusable_secret_is_refused(secret):
    with pytest.raises(Invalid):
        svix.sign(secret, "m", 1, BODY)
