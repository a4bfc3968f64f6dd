"""Environments of published clients: each has its own below `.cache/clients/`, made when first asked for.

A client that cannot be had fails its test with a sentence; it is never passed over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "clients"
SCRIPTS = Path(__file__).parent / "scripts"
_INSTALL_S = 600
_PASSED_ON = ("PATH", "HOME", "LANG")


def _refused(what: str, why: str) -> None:
    pytest.fail(
        f"the client could not be installed: {what} {why}. These tests need the package registries, or their mirror.",
        pytrace=False,
    )


def _run(*command: str, cwd: Path) -> None:
    words = f"`{' '.join(command)}`"
    try:
        ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        _refused(words, f"did not end within {_INSTALL_S} s")
        return
    if ended.returncode:
        said = (ended.stdout + ended.stderr).strip().splitlines() or ["nothing"]
        _refused(words, f"ended with {ended.returncode} and said: {' / '.join(said[-4:])[-600:]}")


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
    """A folder in which Node finds these packages; `_` in a name stands for `-`."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.fail("the Node client could not be installed: there is no node or no npm on this machine", pytrace=False)
    wanted = {name.replace("_", "-"): version for name, version in packages.items()}
    manifest = json.dumps({"private": True, "type": "module", "dependencies": wanted}, sort_keys=True)
    name = "node-" + hashlib.sha256(manifest.encode()).hexdigest()[:12]
    with _made_once(name, manifest) as (folder, is_empty):
        if is_empty:
            (folder / "package.json").write_text(manifest)
            _run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent", cwd=folder)
    return folder


def node_script(folder: Path, name: str) -> tuple[str, str]:
    """The command that runs one of our scripts with what a folder of `node_with` has."""
    # Node looks for packages beside the script, not in the folder it is started from.
    for each in (name, "waiting.mjs"):
        shutil.copyfile(SCRIPTS / each, folder / each)
    return "node", str(folder / name)


def drive(*command: str, log: str = "", timeout_s: float = 180, **environment: str) -> str:
    """Run a client's script with nothing of our environment but these; what it printed.

    Args:
        command: program and arguments.
        log: what to show beside the script's own words when it fails.
        timeout_s: how long it may take.
        environment: its environment, by the variables' names.
    """
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    ended = subprocess.run(
        command, env=kept | environment, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=SCRIPTS
    )
    assert ended.returncode == 0, ended.stdout[-3_000:] + ended.stderr[-6_000:] + log[-3_000:]
    return ended.stdout
