"""The script with which a release is tried tries this checkout too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_whoever_installs_the_program_has_a_mail_answered() -> None:
    script = Path(__file__).with_name("first_minute.py")
    ended = subprocess.run(
        [sys.executable, str(script), sys.executable, "-m", "posthouse"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "had a mail and answered it" in ended.stdout
