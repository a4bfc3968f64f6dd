"""The versions development was last seen to work with: `./dev lock` writes down what is installed.

The file is a list of constraints, `name==version`, which `LOCKED=1 ./dev …` installs by, as CI does, where the ranges in
`pyproject.toml` would let newer ones in. It names no place to get packages from.
"""

from __future__ import annotations

import importlib.metadata
import re

from docs.documents import ROOT

FILE = "requirements-dev.lock"
_HEAD = "# Written by `./dev lock`. To install these: LOCKED=1 ./dev check\n"
# The project itself, and what an environment has of its own.
_NOT_OURS = {"posthouse", "pip", "setuptools", "wheel"}


def normal(name: str) -> str:
    """A package's name as all its spellings are compared: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> dict[str, str]:
    """Package and version of each line of such a file."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def installed() -> str:
    """The file for what is installed here."""
    found = {normal(each.name): each.version for each in importlib.metadata.distributions()}
    lines = [f"{name}=={version}\n" for name, version in sorted(found.items()) if name not in _NOT_OURS]
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    (ROOT / FILE).write_text(installed(), "utf-8")
