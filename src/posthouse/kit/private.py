"""Files of one owner: mail and keys are nobody else's to read, whatever the folder around them allows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_OTHERS = 0o077
# The certificate is shown to everybody who connects; the settings are the operator's own file.
_PUBLIC = frozenset({"tls-cert.pem"})
_NOT_OURS = frozenset({"posthouse.toml"})


def create(path: Path) -> None:
    """Make a file that only its owner reads, unless it is there."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def exposed(folder: Path) -> list[Path]:
    """What lies in a data folder and can be read by others."""
    return [path for path in _contents(folder) if path.lstat().st_mode & _OTHERS]


def narrow(folder: Path) -> None:
    """Take from others what they could read in a data folder that an earlier version, or a copy, left open."""
    for path in exposed(folder):
        if path.name not in _NOT_OURS:
            try:
                path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~_OTHERS)
            except OSError:
                continue  # somebody else's, or gone: `doctor` says what is left


def _contents(folder: Path) -> Iterator[Path]:
    """Its files, and the folder of blobs; what lies in a closed folder is closed."""
    for path in folder.iterdir():
        if path.name not in _PUBLIC and not path.is_symlink() and (path.is_file() or path.name == "blobs"):
            yield path
