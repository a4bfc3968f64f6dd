"""Published clients, each in an environment of its own below `.cache/clients/`, made when first asked for."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.server import Server

CACHE = Path(__file__).parents[2] / ".cache" / "clients"


def _run(*command: str, cwd: Path) -> None:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode:
        pytest.fail(
            f"the client could not be installed: `{' '.join(command)}` ended with {ended.returncode}. "
            f"These tests need the package registries, or their mirror.\n{(ended.stdout + ended.stderr)[-2_000:]}",
            pytrace=False,
        )


@contextmanager
def _made_once(name: str, wanted: str) -> Iterator[tuple[Path, bool]]:
    """The environment's folder, and whether it still has to be filled; one process at a time."""
    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / ".made-of"
        is_made = stamp.exists() and stamp.read_text() == wanted
        if not is_made:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folder, not is_made
        stamp.write_text(wanted)


def python_with(*packages: str) -> Path:
    """A Python that has these packages and nothing of ours."""
    name = "python-" + hashlib.sha256("\n".join(packages).encode()).hexdigest()[:12]
    with _made_once(name, "\n".join(packages)) as (folder, is_empty):
        python = folder / "bin" / "python"
        if is_empty and shutil.which("uv"):
            _run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder), cwd=CACHE)
            _run("uv", "pip", "install", "--quiet", "--python", str(python), *packages, cwd=CACHE)
        elif is_empty:
            _run(sys.executable, "-m", "venv", str(folder), cwd=CACHE)
            _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, cwd=CACHE)
    return python


def node_with(**packages: str) -> Path:
    """A folder in which Node finds these packages."""
    if not shutil.which("npm"):
        pytest.fail("the Node client could not be installed: there is no npm on this machine", pytrace=False)
    manifest = json.dumps({"private": True, "type": "module", "dependencies": packages}, sort_keys=True)
    name = "node-" + hashlib.sha256(manifest.encode()).hexdigest()[:12]
    with _made_once(name, manifest) as (folder, is_empty):
        if is_empty:
            (folder / "package.json").write_text(manifest)
            _run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server all clients share."""
    server = Server()
    try:
        yield server.start()
    finally:
        server.remove()
