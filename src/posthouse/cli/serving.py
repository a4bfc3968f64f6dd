"""Running the server, with an agent to begin with or without."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posthouse.cli.command import USAGE, DataDir, fail, run, settings_of
from posthouse.cli.installation import say_initialized

if TYPE_CHECKING:
    from posthouse.app import House


def serve(
    data_dir: DataDir = None,
    role: Annotated[str, typer.Option(help="Which parts to run: http, smtp, worker, joined by commas.")] = "",
) -> None:
    """Run the server in the foreground; on an empty folder make what init makes first."""
    _serve(data_dir, role, quickstart=False)


def quickstart(data_dir: DataDir = None) -> None:
    """Init, then serve, with an agent's address and key and a call to try it with."""
    _serve(data_dir, "", quickstart=True)


def _serve(data_dir: Path | None, role: str, *, quickstart: bool) -> None:
    settings = settings_of(data_dir)
    _note_ignored_variables()
    from posthouse.app import ROLES, House

    roles = [name.strip() for name in role.split(",") if name.strip()] or list(ROLES)
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        fail(f"the roles are {', '.join(ROLES)}, not {unknown[0]}", USAGE)

    async def work() -> None:
        from posthouse.admin import installation
        from posthouse.control import ControlServer

        house = await House.open(settings)
        control = None
        try:
            made = await installation.init(house)
            control = ControlServer(house)
            await control.start()
            if "worker" in roles:
                await house.start_workers()
            if "smtp" in roles:
                await house.start_smtp()
            if "http" in roles:
                await house.start_http()
            if made.is_new or quickstart:
                say_initialized(settings, made)
            if quickstart:
                await _say_hello(house)
            # What is there now stays: the collector need not look at it again.
            gc.freeze()
            gc.enable()
            _say_listening(house)
            await _until_signal()
        finally:
            if control is not None:
                await control.stop()
            await house.close()

    sys.setswitchinterval(0.001)  # the writer thread waits less for the loop's
    run(work())


def _note_ignored_variables() -> None:
    from posthouse.kit import config, log

    named = [name for name in config.IGNORED if os.environ.get(name)]
    if named:
        log.get("cli").warning("ignored: they name the mail server AgenticMail needed", variables=", ".join(named))


async def _until_signal() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _say_listening(house: House) -> None:
    parts = [f"{name} on port {port}" for name, port in house.ports.items()]
    print(f"Listening: {', '.join(parts) or 'nowhere, working only'}. Stop with Ctrl-C.", flush=True)


async def _say_hello(house: House) -> None:
    """An agent to begin with: its address, its key and the first calls."""
    from posthouse.admin import accounts, installation, keys

    address = f"agent@{house.settings.domain}"
    marker = house.settings.data_dir / "agent.key"
    await accounts.create(house, address=address)
    if marker.exists():
        key = marker.read_text("utf-8").strip()
    else:
        made = await keys.create(house, surface="agentmail", name="quickstart")
        key = made["key"]
        installation.write_secret(marker, key)
    base = house.settings.public_base_url or f"http://127.0.0.1:{house.ports['http']}"
    print(
        f"""
Agent:     {address}
Agent key: {key}

Send it a mail:
  curl --url smtp://127.0.0.1:{house.ports["smtp"]} --mail-from you@example.org --mail-rcpt {address} \\
    -T - <<< $'From: you@example.org\\r\\nTo: {address}\\r\\nSubject: Hello\\r\\n\\r\\nAre you there?\\r\\n'

Read it:
  curl -H 'Authorization: Bearer {key}' {base}/v0/inboxes/{address}/messages

The API: {base}/docs
"""
    )
