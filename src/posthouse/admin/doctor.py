"""What is well with the house, and what is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from cryptography import x509

from posthouse.admin import organizations
from posthouse.app import House
from posthouse.kit import private
from posthouse.kit.clock import to_datetime
from posthouse.store import domains, holds, spool
from posthouse.store.database import Tx
from posthouse.wire.dkim_sign import dns_name, dns_record, load_key


async def doctor(house: House) -> dict[str, Any]:
    """What is well and what is not: each check with a sentence that says what to do."""
    settings = house.settings
    checks: list[dict[str, Any]] = []

    def note(name: str, ok: bool, text: str) -> None:
        checks.append({"check": name, "ok": ok, "text": text})

    async def look(tx: Tx) -> tuple[int, int | None, int, list[domains.Domain]]:
        organization = await organizations.named(tx, None)
        waiting = await holds.count(tx, organization_id=organization.id)
        return (
            await spool.count(tx),
            await spool.next_due(tx),
            waiting,
            await domains.all_proved(tx),
        )

    spooled, oldest, waiting, known = await house.db.read(look)
    note("database", True, f"{house.db.engine} answers")
    late = oldest is not None and house.clock() - oldest > 60_000
    note("spool", not late, f"{spooled} mails wait to be filed" + (": is a worker running?" if late else ""))
    mode = settings.data_dir.stat().st_mode & 0o077
    note("data folder", not mode, "only its owner reads it" if not mode else "others can read it: chmod 700")
    names = ", ".join(sorted(path.name for path in private.exposed(settings.data_dir)))
    note("files", not names, "only their owner reads them" if not names else f"others can read {names}: chmod go= them")
    free = shutil.disk_usage(settings.data_dir).free
    note("disk", free > 1 << 30, f"{free >> 20} MB free")
    note(
        "outbound",
        settings.outbound != "catch",
        "outside mail leaves this machine"
        if settings.outbound != "catch"
        else f"outside mail stays here, in {settings.operator_address}: set OUTBOUND to mx or a smarthost",
    )
    note(
        "approvals",
        not waiting or bool(settings.owner_email),
        f"{waiting} messages wait for the owner"
        + ("" if settings.owner_email else "; no OWNER_EMAIL is set: look with `posthouse pending`"),
    )
    cert = settings.tls_cert or settings.data_dir / "tls-cert.pem"
    if cert.exists():
        not_after = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc
        days = (not_after - to_datetime(house.clock())).days
        note("certificate", days > 14, f"good for {days} days")
    for domain in known:
        await _check_dkim(house, domain.name, note)
    return {"ok": all(check["ok"] for check in checks), "checks": checks}


async def _check_dkim(house: House, name: str, note: Callable[[str, bool, str], None]) -> None:
    stored = await house.db.read(lambda tx: domains.signing_keys(tx, name))
    local = name.endswith((".localhost", ".test", ".local", ".internal")) or "." not in name
    for key in stored:
        loaded = load_key(name, key.selector, key.private_key.encode("ascii"))
        where, wanted = dns_name(loaded), dns_record(loaded)
        if local:
            continue
        try:
            found = [record.decode("utf-8", "replace") for record in await house.resolver.txt(where)]
        except Exception:  # any failure of DNS is the same news here
            found = []
        ok = "".join(wanted.split()) in {"".join(record.split()) for record in found}
        note(f"DKIM {name}", ok, "published" if ok else f"publish TXT {where}: {wanted}")
    if local:
        note(f"domain {name}", True, "is for this machine only")
