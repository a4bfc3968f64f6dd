"""Nobody else reads mail and keys, whatever the folder's mode."""

from __future__ import annotations

from pathlib import Path

from posthouse.kit import private


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_lay_open_is_narrowed_and_the_certificate_stays_public(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "blobs").mkdir(mode=0o755)
    for name, mode in (("posthouse.db", 0o644), ("posthouse.db-wal", 0o664), ("owner.key", 0o640), ("lock", 0o600)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    for name in ("tls-cert.pem", "posthouse.toml"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    (tmp_path / "link").symlink_to(tmp_path / "tls-cert.pem")
    assert {path.name for path in private.exposed(tmp_path)} == {
        "blobs", "posthouse.db", "posthouse.db-wal", "owner.key", "posthouse.toml",
    }  # fmt: skip
    private.narrow(tmp_path)
    assert [path.name for path in private.exposed(tmp_path)] == ["posthouse.toml"]
    assert _mode(tmp_path / "posthouse.db") == 0o600
    assert _mode(tmp_path / "blobs") == 0o700
    assert _mode(tmp_path / "tls-cert.pem") == 0o644


def test_a_file_is_private_from_its_first_moment_and_one_that_is_there_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new"
    private.create(path)
    assert _mode(path) == 0o600
    path.write_text("kept")
    private.create(path)
    assert path.read_text() == "kept"
