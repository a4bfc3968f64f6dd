"""The command line: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs `posthouse` on one folder that has been initialised."""
    folder = Path(tempfile.mkdtemp(prefix="ph-"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POSTHOUSE_", "AGENTICMAIL_"))}

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        given = {"data_dir": str(folder / "data"), "domain": "agents.test"} | settings
        environment = kept | {f"POSTHOUSE_{name.upper()}": value for name, value in given.items()}
        return subprocess.run(
            [sys.executable, "-m", "posthouse", *arguments],
            env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    assert run("init").returncode == 0
    yield run
    shutil.rmtree(folder)


def last(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The object on the last line of standard output."""
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_the_first_init_tells_the_owner_key_and_the_second_changes_nothing(run: Run, tmp_path: Path) -> None:
    folder = str(tmp_path / "fresh")
    first = last(run("init", "--json", data_dir=folder))
    assert first.keys() == {"organization", "domain", "owner_key"}
    assert first["domain"] == "agents.test"
    assert str(first["owner_key"]).startswith("mk_")
    second = run("init", "--json", data_dir=folder)
    assert last(second) == first | {"owner_key": None}


def test_a_master_key_from_outside_is_neither_printed_nor_stored(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    ended = run("init", "--json", data_dir=str(folder), master_key="mk_from_outside")
    assert last(ended)["owner_key"] is None
    assert "mk_from_outside" not in ended.stdout + ended.stderr
    assert not (folder / "owner.key").exists()
    assert not [p for p in folder.rglob("*") if p.is_file() and b"mk_from_outside" in p.read_bytes()]


def test_an_inbox_is_made_once(run: Run) -> None:
    first = last(run("inbox", "create", "Ann@agents.test", "--json"))
    assert first.keys() == {"address", "id"}
    assert first["address"] == "ann@agents.test"
    assert last(run("inbox", "create", "ann@agents.test", "--json")) == first
    ended = run("inbox", "create", "ann@elsewhere.example")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "elsewhere.example" in ended.stderr


def test_a_key_is_made_shown_once_listed_and_revoked(run: Run) -> None:
    run("inbox", "create", "bob@agents.test")
    made = last(run("key", "create", "--surface", "agentmail", "--inbox", "bob@agents.test", "--json"))
    assert made.keys() == {"key", "id", "surface", "inbox", "organization"}
    assert str(made["key"]).startswith("am_")
    listed = run("key", "list")
    assert str(made["id"]) in listed.stdout
    assert str(made["key"]) not in listed.stdout
    assert run("key", "revoke", str(made["id"])).returncode == 0
    ended = run("key", "revoke", str(made["id"]))
    assert ended.returncode == 4
    assert "key list" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("key", "create", "--surface", "agentmail", "--inbox", "nobody@agents.test"), 1),
        (("key", "create", "--surface", "agentmail", "--scopes", "fly"), 1),
        (("key", "create", "--surface", "agentmail", "--level", "unheard-of"), 1),
        (("key", "create", "--surface", "unheard-of"), 1),
        (("key", "create"), 2),
        (("serve", "--role", "cook"), 2),
        (("unheard-of",), 2),
        (("inbox", "create"), 2),
        (("approve", "no-such-hold"), 4),
        (("level", "set", "gated", "--inbox", "nobody@agents.test"), 4),
        (("undelete", "no-such-grave"), 4),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_an_exit_code(run: Run, arguments: tuple[str, ...], code: int) -> None:
    ended = run(*arguments)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.strip()
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("http_port", "eighty"), ("outbound", "pigeon"), ("domain", "no domain"), ("retry_schedule", "soon"),
        ("max_message_size", "big"), ("rate_limits", "some"), ("public_base_url", "mail.example"), ("unheard_of", "1"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(run: Run, setting: str, value: str) -> None:
    ended = run("doctor", **{setting: value})
    assert ended.returncode == 1
    assert f"POSTHOUSE_{setting.upper()}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_file_in_the_folder_is_read_and_the_environment_overrules_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "posthouse.toml").write_text('outbound = "pigeon"\n')
    assert run("init", data_dir=str(tmp_path)).returncode == 1
    assert run("init", data_dir=str(tmp_path), outbound="catch").returncode == 0
    (tmp_path / "posthouse.toml").write_text("outbound = [\n")
    ended = run("init", data_dir=str(tmp_path))
    assert ended.returncode == 1
    assert "posthouse.toml" in ended.stderr


def test_organizations_and_suppressions_are_listed_and_changed(run: Run) -> None:
    (own,) = last(run("organization", "list", "--json"))["organizations"]
    assert own["id"] in run("organization", "list").stdout
    assert run("suppression", "add", "bob@far.example", "--reason", "asked for it").returncode == 0
    shown = run("suppression", "list").stdout
    assert "bob@far.example  (everybody)  manual  asked for it" in shown
    assert last(run("suppression", "lift", "bob@far.example", "--json"))["lifted"] == 1
    assert run("suppression", "lift", "bob@far.example").returncode == 4
    assert run("key", "list", "--organization", str(own["id"])).returncode == 0
    assert run("level", "set", "gated", "--organization", "nobody").returncode == 4


def test_the_doctor_looks_at_everything(run: Run) -> None:
    found = last(run("doctor", "--json"))
    checks = {check["check"]: check for check in found["checks"]}
    assert {"database", "spool", "data folder", "disk", "outbound", "approvals", "certificate"} <= checks.keys()
    assert all(check["text"] for check in checks.values())
    assert checks["outbound"]["ok"] is False, "mail that never leaves is worth a look"


def test_a_backup_is_a_folder_that_works(run: Run, tmp_path: Path) -> None:
    run("inbox", "create", "eve@agents.test")
    where = tmp_path / "backup"
    assert last(run("backup", str(where), "--json"))["path"] == str(where)
    assert where.stat().st_mode & 0o077 == 0
    listed = last(run("inbox", "create", "eve@agents.test", "--json"))
    assert last(run("inbox", "create", "eve@agents.test", "--json", data_dir=str(where))) == listed
    assert run("backup", str(where)).returncode == 1
