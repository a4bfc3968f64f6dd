"""Ids and secrets.

Ids are opaque outside: lower-case letters and digits, safe in URLs, in paths and as RFC 8620 §1.2 `Id`s.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
import uuid

# In ASCII order, so that ids made later sort later; no look-alikes needed, nobody types them.
_ALPHABET = "0123456789abcdefghijklmnopqrstuv"
# Ten bits at a time.
_SHIFTS = range(100, -1, -10)
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


def new_id() -> str:
    """A new id of 23 characters: a letter, ten for the time in milliseconds, twelve (60 bits) at random.

    The time in front keeps inserts at the end of each index. An id is never a credential: whatever it
    names is looked up together with the account that asks.
    """
    return _now_with(int.from_bytes(os.urandom(8), "big") >> 4)


def latest_id() -> str:
    """An id, given to nothing, that no id made until now comes after, nor any of this same millisecond."""
    return _now_with((1 << 60) - 1)


def _now_with(tail: int) -> str:
    value = (time.time_ns() // 1_000_000) << 60 | tail
    return "p" + "".join([_PAIRS[(value >> shift) & 1023] for shift in _SHIFTS])


def new_uuid() -> str:
    """A random UUID, for accounts, pods and organisations (clients expect that form there)."""
    return str(uuid.uuid4())


def new_secret(prefix: str, nbytes: int = 32) -> str:
    """A credential: `prefix` and `nbytes` random bytes in hex."""
    return prefix + secrets.token_hex(nbytes)


def secret_digest(secret: str) -> str:
    """What is stored in place of a secret: SHA-256 in hex. Secrets here are random, so no salt is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(a: str, b: str) -> bool:
    """Compare two secrets in constant time: no guessing the rest by its prefix."""
    return hmac.compare_digest(a.encode("utf-8", "surrogatepass"), b.encode("utf-8", "surrogatepass"))
