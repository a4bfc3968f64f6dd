"""The limit for webhooks: `python -m bench.fanout_peer PORT POSTS OCTETS`.

The HTTP client library the server uses, posting bodies made beforehand as fast as it can: no mail, no database, no
signature, no check of the address. As many connections as the server opens to one host.
"""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
import uvloop

_CONNECTIONS = 20


async def main() -> None:
    """Post, each connection one at a time."""
    port, posts, octets = (int(each) for each in sys.argv[1:4])
    left = iter(range(posts))
    head = {"type": "event", "event_type": "message.received"}
    bodies = [json.dumps(head | {"message": {"subject": f"bare {n}"}}, separators=(",", ":")) for n in range(posts)]
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=_CONNECTIONS)

    async def lane(session: aiohttp.ClientSession) -> None:
        for number in left:
            body = bodies[number].encode().ljust(octets)
            async with session.post(f"http://127.0.0.1:{port}/0", data=body) as response:
                await response.read()

    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await asyncio.gather(*(lane(session) for _ in range(_CONNECTIONS)))


if __name__ == "__main__":
    uvloop.run(main())
