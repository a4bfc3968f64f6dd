"""Files fetched from URLs: no more than a message holds, few at once, all against real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from posthouse.kit.errors import Forbidden, Invalid, TooLarge, Unavailable
from posthouse.net.dialer import GuardedDialer
from posthouse.net.turns import Turns
from posthouse.outbound.attachments import GivenFile, gather
from posthouse.wire.resolver import NameNotFound

_MESSAGE = 4_000_000


class _NoNames:
    async def addresses(self, name: str) -> list[str]:
        raise NameNotFound(name)


@dataclass
class Site:
    """Serves as many octets as its path says, with or without saying so before, and counts requests."""

    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        kind, size = request.match_info["kind"], int(request.match_info["size"])
        self.asked.append(kind)
        if kind == "missing":
            return web.Response(status=404)
        if kind == "sized":
            return web.Response(body=b"x" * size, content_type="image/png")
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        for _ in range(size // 10_000):
            await answer.write(b"x" * 10_000)
        await answer.write_eof()
        return answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/{kind}/{size}/{name}", site.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()


@pytest.fixture
async def dialer() -> AsyncIterator[GuardedDialer]:
    dialer = GuardedDialer(_NoNames(), True)  # type: ignore[arg-type]
    yield dialer
    await dialer.aclose()


async def fetch(dialer: GuardedDialer, *given: GivenFile) -> list[tuple[str | None, str | None, int]]:
    found = await gather(dialer, "a", given, message_bytes=_MESSAGE)
    return [(each.filename, each.content_type, len(each.data)) for each in found]


async def test_files_come_in_the_order_they_were_named(dialer: GuardedDialer, site: Site) -> None:
    found = await fetch(
        dialer,
        GivenFile(url=f"{site.url}/sized/5/one.png"),
        GivenFile(content="aGk=", filename="two"),
        GivenFile(url=f"{site.url}/open/10000/three.bin", content_type="text/x-three"),
    )
    assert [(name, size) for name, _, size in found] == [("one.png", 5), ("two", 2), ("three.bin", 10_000)]
    assert [kind for _, kind, _ in found][::2] == ["image/png", "text/x-three"]


@pytest.mark.parametrize("kind", ["sized", "open"])
async def test_fetching_stops_where_the_message_would_be_full(dialer: GuardedDialer, site: Site, kind: str) -> None:
    given = [GivenFile(url=f"{site.url}/{kind}/1000000/{number}") for number in range(40)]
    with pytest.raises(TooLarge) as refused:
        await fetch(dialer, *given)
    assert refused.value.field == "attachments.3.url"
    assert len(site.asked) == 4


async def test_what_came_along_counts_as_well(dialer: GuardedDialer, site: Site) -> None:
    whole = GivenFile(content="A" * 4_000_000, filename="whole")
    with pytest.raises(TooLarge):
        await fetch(dialer, whole, GivenFile(url=f"{site.url}/sized/1/a"))


async def test_nothing_is_fetched_for_a_request_that_is_refused_anyway(dialer: GuardedDialer, site: Site) -> None:
    good = GivenFile(url=f"{site.url}/sized/1/a")
    for bad in (GivenFile(), GivenFile(url="http://a.example/", content="aGk="), GivenFile(content="?")):
        with pytest.raises(Invalid):
            await fetch(dialer, good, bad)
    assert site.asked == []
    with pytest.raises(Forbidden) as refused:
        await fetch(dialer, GivenFile(url=f"{site.url}/missing/1/a"))
    assert (refused.value.reason, refused.value.field) == ("attachment_url", "attachments.0.url")


async def test_turns_are_few_and_no_owner_has_all_of_them() -> None:
    turns = Turns(3, 2, wait_s=0.02)
    release = asyncio.Event()
    begun: list[str] = []

    async def hold(owner: str) -> None:
        async with turns.one(owner):
            begun.append(owner)
            await release.wait()

    held = [asyncio.create_task(hold(owner)) for owner in ("a", "a", "b")]
    async with asyncio.timeout(5):
        while len(begun) < 3:
            await asyncio.sleep(0)
    for owner in ("a", "b", "c"):
        with pytest.raises(Unavailable):
            await hold(owner)
    release.set()
    await asyncio.gather(*held)
    async with turns.one("a"):
        assert begun == ["a", "a", "b"]
