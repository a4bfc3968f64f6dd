"""The first minute of whoever has just installed the program, from nothing but the program itself.

`python first_minute.py PROGRAM [ARGUMENTS …]` starts `quickstart` in a folder of its own, mails the agent, reads the
mail by API, answers it, and ends the server. Only the standard library is used: what is tried is an installed wheel.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

_PATIENCE_S = 60


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _call(base: str, key: str, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        base + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def _until(look: Any, what: str) -> Any:
    ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"waited in vain for {what}")


def main(program: list[str]) -> None:
    """Go through it; ends with a sentence when something does not come about."""
    with tempfile.TemporaryDirectory(prefix="ph-") as name:
        folder = Path(name)
        http, smtp = _free_port(), _free_port()
        settings = {"DATA_DIR": str(folder / "data"), "HTTP_PORT": str(http), "SMTP_PORT": str(smtp)}
        environment = os.environ | {f"POSTHOUSE_{key}": value for key, value in settings.items()}
        environment["POSTHOUSE_SUBMISSION_PORT"] = str(_free_port())
        with subprocess.Popen(
            [*program, "quickstart"], env=environment, cwd=folder, stdout=subprocess.DEVNULL
        ) as server:
            try:
                key = _until(lambda: (folder / "data" / "agent.key").read_text().split()[-1], "the agent's key")
                base = f"http://127.0.0.1:{http}/v0"
                inboxes = _until(lambda: _call(base, key, "GET", "/inboxes")["inboxes"], "the API")
                address = next(box["inbox_id"] for box in inboxes if not box["inbox_id"].startswith("catch@"))
                mail = EmailMessage()
                mail["From"], mail["To"], mail["Subject"] = "ann@home.example", address, "Are you there?"
                mail.set_content("It is noon.")
                with smtplib.SMTP("127.0.0.1", smtp, timeout=10) as client:
                    client.send_message(mail)
                path = f"/inboxes/{quote(address, safe='')}/messages"
                [message] = _until(lambda: _call(base, key, "GET", path)["messages"], "the mail to be read")
                answer = _call(
                    base, key, "POST", f"{path}/{quote(message['message_id'], safe='')}/reply", {"text": "Yes."}
                )
                if not answer["message_id"]:
                    raise SystemExit("the answer has no id")
            finally:
                server.send_signal(signal.SIGINT)
                server.wait(30)
        print(f"{address} had a mail and answered it.")


if __name__ == "__main__":
    main(sys.argv[1:])
