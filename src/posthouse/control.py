"""The control socket: the command line's way to a running server. Only the folder's owner can open it.

One JSON object a line each way: `{"command", "arguments"}`, answered by `{"result"}` or `{"error"}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from posthouse.admin.commands import COMMANDS
from posthouse.admin.known import NotBuilt
from posthouse.app import House
from posthouse.kit import errors, log
from posthouse.kit.errors import PosthouseError
from posthouse.kit.ids import secret_digest

_log = log.get("control")
_MAX_LINE = 1 << 20
# sun_path has 108 octets on Linux, 104 elsewhere, the last one NUL.
_MAX_PATH = 103
_KINDS: tuple[type[PosthouseError], ...] = (*errors.ALL, NotBuilt)
_ERRORS = {kind.code: kind for kind in _KINDS}


def socket_path(data_dir: Path) -> Path:
    """Where the socket of a data folder lies: in it, unless its path is longer than a socket's may be."""
    path = data_dir.resolve() / "control.sock"
    if len(os.fsencode(path)) <= _MAX_PATH:
        return path
    folder = Path(tempfile.gettempdir()) / f"posthouse-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise errors.Unavailable(f"{folder} belongs to somebody else: use a data folder with a shorter path")
    return folder / f"{secret_digest(str(path))[:32]}.sock"


class ControlServer:
    """Answers commands for as long as the server runs."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, with a socket only its owner may open."""
        path = socket_path(self._house.settings.data_dir)
        path.unlink(missing_ok=True)
        before = os.umask(0o177)  # mode 600 from the first moment
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(path), limit=_MAX_LINE)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            socket_path(self._house.settings.data_dir).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:
            _log.debug("a control connection ended", error=str(error))
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = COMMANDS[request["command"]]
            return {"result": await command(self._house, **request.get("arguments", {}))}
        except PosthouseError as error:
            return {"error": {"code": error.code, "message": error.message}}
        except Exception as error:
            _log.error("a command failed", exc_info=error)
            return {"error": {"code": "unavailable", "message": f"the command failed: {error}"}}


async def call(data_dir: Path, command: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Run a command in the server that has the folder; None when none is running.

    Raises:
        PosthouseError: what the command raised.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket_path(data_dir)), limit=_MAX_LINE * 64)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    try:
        writer.write(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
        answer = json.loads(await reader.readline())
    finally:
        writer.close()
    if "error" in answer:
        kind = _ERRORS.get(answer["error"]["code"], errors.Unavailable)
        raise kind(answer["error"]["message"])
    result: dict[str, Any] = answer["result"]
    return result
