"""Whoever opens connections and says nothing keeps nobody else out."""

from __future__ import annotations

import asyncio
import smtplib

from flows.houses import indoors
from flows.server import mail


async def test_silent_connections_leave_the_api_and_mail_alive() -> None:
    async with indoors(http_connections=40, smtp_connections=40) as inside, inside.agent() as (address, api):
        ports = inside.house.ports
        silent = [await asyncio.open_connection("127.0.0.1", ports["http"]) for _ in range(120)]
        half = [await asyncio.open_connection("127.0.0.1", ports["http"]) for _ in range(60)]
        for _, writer in half:
            writer.write(b"GET /health HTTP/1.1\r\nX-Slow: ")
        status, _ = await api.call("GET", "/health")
        assert status == 200

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", ports["smtp"], timeout=30) as client:
                client.sendmail("ann@elsewhere.example", [address], mail("ann@elsewhere.example", [address]).as_bytes())

        await asyncio.to_thread(send)
        await inside.settle()
        assert len((await api.get(f"/v0/inboxes/{address}/messages"))["messages"]) == 1
        for _, writer in (*silent, *half):
            writer.close()
