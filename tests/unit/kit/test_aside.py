"""Long work is done on a thread, two pieces at a time, and nobody's reading keeps mail waiting."""

from __future__ import annotations

import asyncio
import threading

import pytest

from posthouse.kit.aside import ASKED, INLINE_BYTES, UNDERWAY, aside

_LARGE = INLINE_BYTES + 1


async def test_what_is_small_is_done_at_once_and_what_is_large_on_a_thread() -> None:
    here = threading.get_ident()
    assert await aside(INLINE_BYTES, threading.get_ident) == here
    assert await aside(_LARGE, threading.get_ident) != here
    assert await aside(_LARGE, threading.get_ident, above=_LARGE) == here


async def test_an_error_of_the_work_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        await aside(_LARGE, divmod, 1, 0)


async def test_two_pieces_are_done_at_a_time_and_mail_does_not_wait_for_them() -> None:
    go_on, begun, most, lock = threading.Event(), 0, 0, threading.Lock()

    def work() -> None:
        nonlocal begun, most
        with lock:
            begun += 1
            most = max(most, begun)
        go_on.wait(30)
        with lock:
            begun -= 1

    asked = [asyncio.create_task(aside(_LARGE, work, room=ASKED)) for _ in range(6)]
    await asyncio.sleep(0)  # all are handed in
    assert await aside(_LARGE, str.upper, "mail", room=UNDERWAY) == "MAIL"
    go_on.set()
    await asyncio.gather(*asked)
    assert most <= 2
