"""Proof of work: a puzzle that costs a newcomer some seconds and us one check.

The puzzle is a token (`tokens.py`) whose `jti` is hashed with a number until the digest begins with enough
zero bits. Each counts once. Who asks for many gets harder ones: each further bit doubles the work.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from posthouse.accounts.tokens import LIFETIMES_MS, Tokens
from posthouse.kit.clock import SECOND, Clock
from posthouse.kit.errors import Unauthenticated
from posthouse.kit.ids import same
from posthouse.store import challenges
from posthouse.store.database import Database

# RFC 7914: 16 MiB a call. Two at a time keep a third core and 32 MiB the most it ever takes.
_N, _R, _P, _LENGTH = 16_384, 8, 1, 64
_AT_ONCE = 2
# Asking this often within a challenge's life is free; each doubling beyond it is one bit more.
_FREE_PER_ADDRESS = 20
_MOST_EXTRA_BITS = 12
_MAX_ADDRESSES = 50_000
_MAX_NONCE_CHARS = 64


@dataclass(frozen=True, slots=True)
class Proof:
    """What a solver hands in: the number it found and the digest, in hex."""

    nonce: str
    pow_hex: str


def digest_of(jti: str, nonce: str, salt: str) -> bytes:
    """The digest of a puzzle with a number. The salt is its text, not the octets its hex stands for."""
    return hashlib.scrypt(
        f"{jti}:{nonce}".encode(), salt=salt.encode(), n=_N, r=_R, p=_P, dklen=_LENGTH, maxmem=64 * 1024 * 1024
    )


def has_zero_bits(digest: bytes, difficulty: int) -> bool:
    """Whether the digest begins with that many zero bits, the highest first."""
    return int.from_bytes(digest, "big") >> (len(digest) * 8 - difficulty) == 0


class Challenges:
    """Gives puzzles out and takes solutions in."""

    def __init__(
        self, db: Database, tokens: Tokens, clock: Clock, *, salt: str, difficulty: int, rises: bool = True
    ) -> None:
        self._db = db
        self._tokens = tokens
        self._clock = clock
        self._salt = salt
        self._difficulty = difficulty
        self._rises = rises
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="posthouse-scrypt")
        self._asked: dict[str, tuple[int, int]] = {}

    def issue(self, address: str) -> str:
        """A new puzzle for whoever asks from this address."""
        at = self._clock()
        return self._tokens.issue("challenge", {"difficulty": self._difficulty_for(address, at)}, at)

    def _difficulty_for(self, address: str, at: int) -> int:
        if not self._rises:
            return self._difficulty
        if len(self._asked) >= _MAX_ADDRESSES:
            self._asked.clear()
        window = at // LIFETIMES_MS["challenge"]
        known = self._asked.get(address)
        count = known[1] + 1 if known is not None and known[0] == window else 1
        self._asked[address] = (window, count)
        extra = (count // _FREE_PER_ADDRESS).bit_length()
        return self._difficulty + min(extra, _MOST_EXTRA_BITS)

    async def solve(self, token: str, proof: Proof) -> None:
        """Take a solution. The puzzle is used up by this, right or wrong.

        Raises:
            Unauthenticated: no puzzle of ours, over, used before (reason `challenge_used`), or not solved
                (reason `wrong_proof`).
        """
        claims: dict[str, Any] = self._tokens.read(token, "challenge", self._clock())
        jti = str(claims["jti"])
        if not await self._db.write(lambda tx: challenges.spend(tx, jti, int(claims["exp"]) * SECOND)):
            raise Unauthenticated("this challenge has been used already", reason="challenge_used")
        if len(proof.nonce) > _MAX_NONCE_CHARS or len(proof.pow_hex) != 2 * _LENGTH:
            raise Unauthenticated("the proof of work is wrong", reason="wrong_proof")
        loop = asyncio.get_running_loop()
        digest = await loop.run_in_executor(self._pool, digest_of, jti, proof.nonce, self._salt)
        if not same(digest.hex(), proof.pow_hex.lower()) or not has_zero_bits(digest, int(claims["difficulty"])):
            raise Unauthenticated("the proof of work is wrong", reason="wrong_proof")

    def close(self) -> None:
        """Take no more solutions."""
        self._pool.shutdown(wait=False, cancel_futures=True)
