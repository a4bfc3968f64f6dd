"""Bytes gone wrong: what was valid, with a few places changed by a generator that can be started again."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence

SEED = int(os.environ.get("FUZZ_SEED", "20260701"))
TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
ODD = (
    b"\x00", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\t", b" ", b"%00", b"%2e%2e%2f", b"%",
    b"..", b"/", b"?", b"#", b"\\", b'"', b"'", b"<", b">", b"@", b":", b";", b"=", b"&", b"-1", b"0", b"1e999", b"9" * 40,
    b"A" * 300, b"[" * 200, b"{" * 200, b"null", b"true", b"\\u0000", b"\\ud800", b"\x80\x80\x80\x80", b"\x88\x02\x03\xe8",
)  # fmt: skip


def mutated(pick: random.Random, valid: bytes, odd: Sequence[bytes] = ODD) -> bytes:
    """The bytes with one to six places replaced, taken out, doubled or filled with something odd."""
    data = bytearray(valid)
    for _ in range(pick.randrange(1, 7)):
        at = pick.randrange(len(data) + 1)
        end = min(len(data), at + pick.choice((0, 1, 1, 2, 4, 8, 30)))
        change = pick.randrange(5)
        if change == 0:
            data[at:end] = pick.choice(odd)
        elif change == 1:
            data[at:end] = pick.randbytes(end - at or 1)
        elif change == 2:
            del data[at:end]
        elif change == 3:
            data[at:at] = data[at:end]
        elif at < len(data):
            data[at] ^= 1 << pick.randrange(8)
    return bytes(data)


def cases(valid: Sequence[bytes], count: int, odd: Sequence[bytes] = ODD) -> Iterator[tuple[str, bytes]]:
    """Named inputs: two of three are mutations of something valid, the third is noise. The name makes it again."""
    for number in range(count * TIMES):
        pick = random.Random(f"{SEED}/{number}")
        noise = number % 3 == 2
        data = pick.randbytes(pick.randrange(1, 2_000)) if noise else mutated(pick, valid[number % len(valid)], odd)
        yield f"FUZZ_SEED={SEED} number {number}", data
