"""How deliveries are signed, so that a receiver knows whom they come from. A dialect chooses one."""

from __future__ import annotations

from collections.abc import Mapping

from posthouse.kit.clock import SECOND
from posthouse.wire import svix


def new_svix_secret() -> str:
    """A secret as receivers that verify with Svix's libraries take it."""
    return svix.new_secret()


def svix_headers(secret: str, message_id: str, at: int, body: bytes) -> Mapping[str, str]:
    """The headers of one attempt; `message_id` is the same at every attempt, and receivers tell repeats by it."""
    timestamp = at // SECOND
    return {
        "svix-id": message_id,
        "svix-timestamp": str(timestamp),
        "svix-signature": svix.sign(secret, message_id, timestamp, body),
    }
