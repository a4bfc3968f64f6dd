"""DKIM: signing what leaves the house with the keys of its From's domain (RFC 6376 §5)."""

from __future__ import annotations

from functools import partial

from posthouse.kit.aside import UNDERWAY, aside
from posthouse.kit.clock import MINUTE, Clock
from posthouse.store import domains
from posthouse.store.database import Database
from posthouse.wire.address import normalize, parse_address_list, split
from posthouse.wire.dkim_sign import DkimKey, load_key, sign
from posthouse.wire.message import parse_headers_only

_CACHE_MS = 5 * MINUTE
# A longer message is hashed on a thread.
_INLINE_BYTES = 64 * 1024


class Signer:
    """Signs messages; keys are read from the store and kept for some minutes."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._keys: dict[str, tuple[int, tuple[DkimKey, ...]]] = {}

    async def sign(self, raw: bytes) -> bytes:
        """The message with a signature for each key of its author's domain before it.

        The author is who From names: that is the domain readers see and DMARC asks about. A subdomain without
        keys of its own is signed for by its nearest parent that has some: relaxed alignment takes that (RFC
        9989 §5.1). A message without one author is left as it is.
        """
        authors = [value for name, value in parse_headers_only(raw) if name.lower() == "from"]
        people = parse_address_list(authors[0]) if len(authors) == 1 else ()
        labels = split(normalize(people[0].email))[1].split(".") if people else []
        for start in range(len(labels)):
            keys = await self._of(".".join(labels[start:]))
            if keys:
                at_s = self._clock() // 1000
                signing = partial(sign, raw, keys, at_s=at_s)
                return await aside(len(raw), signing, above=_INLINE_BYTES, room=UNDERWAY) + raw
        return raw

    async def _of(self, domain: str) -> tuple[DkimKey, ...]:
        now = self._clock()
        cached = self._keys.get(domain)
        if cached is not None and now - cached[0] < _CACHE_MS:
            return cached[1]
        stored = await self._db.read(lambda tx: domains.signing_keys(tx, domain))
        keys = tuple(load_key(domain, key.selector, key.private_key.encode("ascii")) for key in stored)
        self._keys[domain] = (now, keys)
        return keys
