"""What the door raises, and what the client hears of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from posthouse.kit import errors
from posthouse.smtp.errors import ERROR_REPLIES, STAGE_REPLIES, error_reply
from posthouse.wire.smtp_replies import Reply
from unit.smtp.serving import (
    CONFIG,
    FakeDoor,
    connected,
    on_both_loops,
    serving,
    until,
)


@pytest.mark.parametrize("error", errors.ALL)
@on_both_loops
async def test_every_error_of_receive_has_its_reply_and_the_session_goes_on(
    error: type[errors.PosthouseError],
) -> None:
    door = FakeDoor()

    async def fail(raw: bytes) -> Reply:
        raise error("The reason")

    door.received = fail
    async with serving(door) as (_, port), connected(port) as client:
        await client.begin()
        await client.say("DATA")
        code, status = ERROR_REPLIES[error]
        assert await client.say("x\r\n.") == f"{code} {status} The reason\r\n"
        assert (await client.say("NOOP")).startswith("250 ")
    assert door.messages == []


def test_the_table_of_errors_is_total_and_tells_temporary_from_final() -> None:
    assert set(ERROR_REPLIES) == set(errors.ALL)
    for error, (code, status) in ERROR_REPLIES.items():
        assert str(code)[0] == status[0]
        assert (code < 500) == (error.temporary or error is errors.OverQuota)
    for (_, error), (code, status) in STAGE_REPLIES.items():
        assert str(code)[0] == status[0]
        assert (code < 500) == error.temporary

    class FullDisk(errors.Unavailable):
        pass

    assert error_reply(FullDisk("full"), "message").code == 451
    assert error_reply(errors.PosthouseError("?"), "message").code == 451


@on_both_loops
async def test_an_unexpected_exception_is_451_and_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    door = FakeDoor()

    def burst(*_: object) -> Reply:
        raise RuntimeError("password=hunter2")

    async def burst_later(raw: bytes) -> Reply:
        return burst()

    config = replace(CONFIG, submission=True, auth_needs_tls=False)
    async with serving(door, config) as (_, port), connected(port) as client:
        await client.hello()
        door.password = burst
        assert (await client.say("AUTH PLAIN AGFubgBzZWNyZXQ=")).startswith("454 4.7.0 ")
        door.password = lambda secret: "ann"
        assert (await client.say("AUTH PLAIN AGFubgBzZWNyZXQ=")).startswith("235 ")
        good, door.sender = door.sender, burst
        assert (await client.say("MAIL FROM:<a@here.example>")).startswith("451 4.3.0 ")
        door.sender = good
        await client.say("MAIL FROM:<a@here.example>")
        good, door.recipient = door.recipient, burst
        assert (await client.say("RCPT TO:<b@here.example>")).startswith("451 4.3.0 ")
        door.recipient = good
        await client.say("RCPT TO:<b@here.example>")
        await client.say("DATA")
        door.received = burst_later
        reply = await client.say("x\r\n.")
        assert reply.startswith("451 4.3.0 ") and "hunter2" not in reply
        assert (await client.say("NOOP")).startswith("250 ")
    assert "the door failed" in capsys.readouterr().out


@on_both_loops
async def test_a_refused_connection_is_told_why() -> None:
    door = FakeDoor()
    door.opened = lambda: Reply(554, "5.7.1", "Listed")
    async with serving(door) as (server, port):
        async with connected(port) as client:
            assert await client.rest() == "554 5.7.1 Listed\r\n"

        def busy() -> Reply:
            raise errors.TooMany("Slow down")

        door.opened = busy
        async with connected(port) as client:
            assert await client.rest() == "421 4.7.0 Slow down\r\n"
        await until(lambda: server.connections == 0)


@on_both_loops
async def test_a_wrong_password_is_535_and_one_too_many_ends_the_session() -> None:
    config = replace(CONFIG, submission=True, auth_needs_tls=False, max_auth_failures=2)
    async with serving(FakeDoor(), config) as (_, port), connected(port) as client:
        await client.hello()
        assert (await client.say("AUTH PLAIN AGFubgBndWVzcw==")).startswith("535 5.7.8")
        client.write("AUTH PLAIN AGFubgBndWVzcw==\r\n")
        assert (await client.rest()).startswith("421 4.7.0")
