"""The public JMAP test suite (`jmap-test-suite`, built with `npm install && npm run build`), if it lies there."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conformance.house import made, running

# What the surface's deviations forbid, with the reason; anything else has to pass.
EXPECTED_FAILURES: dict[str, str] = {}


def run(root: Path) -> Iterator[tuple[str, bool, str]]:
    """One line for the whole suite, naming the required tests that failed."""
    cli = next(iter(sorted(root.rglob("jmap-*suite*/dist/cli.js"))), None)
    if cli is None or shutil.which("node") is None:
        return
    with running() as server, tempfile.TemporaryDirectory() as folder:
        users = {}
        for name in ("primary", "secondary"):
            address = f"{name}@{server.domain}"
            made(server, "inbox", "create", address)
            key = made(server, "key", "create", "--surface", "atomicmail", "--inbox", address)["key"]
            users[name] = {"username": address, "password": key}
        config, report = Path(folder) / "config.json", Path(folder) / "report.json"
        config.write_text(
            json.dumps(
                {
                    "sessionUrl": f"{server.url}/.well-known/jmap",
                    "users": users,
                    "authMethod": "basic",
                    "timeout": 30_000,
                }
            )
        )
        subprocess.run(
            ["node", str(cli), "-c", str(config), "-f", "-o", str(report)],
            capture_output=True,
            timeout=900,
            check=False,
        )
        answer = json.loads(report.read_text())
    failed = [
        result["testId"]
        for result in answer["results"]
        if result["status"] == "fail" and result["testId"] not in EXPECTED_FAILURES
    ]
    summary = answer["summary"]
    seen = f"{summary['passed']} of {summary['total']} passed"
    yield "jmap-test-suite", not failed, seen + (f"; unexpected: {', '.join(failed[:40])}" if failed else "")
