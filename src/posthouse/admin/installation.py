"""The installation: making what the data folder lacks, its text index, where it listens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from posthouse.accounts.installation import Initialized, initialize
from posthouse.app import House
from posthouse.mail import indexing
from posthouse.net import tls
from posthouse.wire.address import split


async def init(house: House) -> Initialized:
    """Make what the data folder lacks: keys, organisation, domain, the owner's key (kept in `owner.key`)."""
    settings = house.settings
    cert, key = settings.data_dir / "tls-cert.pem", settings.data_dir / "tls-key.pem"
    if settings.tls_cert is None and not (cert.exists() and key.exists()):
        names = [settings.domain, "localhost", "127.0.0.1", "::1"]
        await asyncio.to_thread(tls.make_self_signed, names, key, cert)
    made = await initialize(
        house.db,
        domain=settings.domain,
        operator_address=settings.operator_address,
        makes_owner_key=not settings.master_key,
        inbound_secret=settings.inbound_secret,
        at=house.clock(),
    )
    if made.owner_key is not None:
        write_secret(settings.data_dir / "owner.key", made.owner_key)
    return made


def write_secret(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(secret + "\n", "utf-8")


async def reindex(house: House) -> dict[str, Any]:
    """Build the text index anew."""
    return {"messages": await indexing.rebuild(house.db)}


async def whoami(house: House) -> dict[str, Any]:
    """Where this server listens."""
    return {"ports": house.ports, "domain": split(house.settings.operator_address)[1]}
