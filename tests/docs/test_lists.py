"""The lists in the documents are those of the code: settings, commands, standards, dependencies, endpoints."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import typer
from packaging.requirements import Requirement

import posthouse
from docs import citations, documents, locking
from docs.documents import ROOT, code, read, rows
from posthouse.accounts.allowance import SELF_REGISTERED, UNVERIFIED
from posthouse.api.agentmail import errors
from posthouse.api.agentmail.app import HANDLERS
from posthouse.api.agentmail.shapes.webhooks import EVENT_TYPES
from posthouse.cli.main import app
from posthouse.kit.config import Settings

_GENERAL_OPTIONS = {"--help", "--data-dir", "--json"}


def _default(value: object) -> str:
    return "–" if value in ("", None) else str(value).lower() if isinstance(value, bool) else str(value)


def _defaults() -> dict[str, object]:
    settings = Settings()
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {code(row[0]): code(row[1]) or row[1] for row in rows(read("docs/operate/settings.md")) if code(row[0])}
    assert listed == {name.upper(): _default(default) for name, default in _defaults().items()}


def _commands(group: typer.core.TyperGroup, prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            options = {option for parameter in command.params for option in parameter.opts if option[:2] == "--"}
            yield f"{prefix}{name}", options - _GENERAL_OPTIONS


def test_every_command_is_listed_with_its_options() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    listed = {}
    for row in rows(read("docs/operate/commands.md")):
        if code(row[0]).startswith("posthouse "):
            words = code(row[0]).split()[1:]
            name = " ".join(word for word in words if re.fullmatch(r"[a-z]+", word))
            listed[name] = set(re.findall(r"--[a-z-]+", " ".join(row)))
    assert listed == dict(_commands(group))


def test_what_newcomers_may_have_is_listed() -> None:
    listed = {row[0]: row[1:] for row in rows(read("docs/operate/settings.md"))}
    for kind, before, then in zip(SELF_REGISTERED._fields, UNVERIFIED, SELF_REGISTERED, strict=True):
        assert listed[kind.replace("_", " ")] == [f"{before:,}", f"{then:,}"], kind


def _cited() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for first, last in re.findall(r"\bRFC\s+(\d{3,5})(?:[–-](\d{4,5})\b)?", path.read_text("utf-8")):
            found.update(str(number) for number in range(int(first), int(last or first) + 1))
    return found


def test_every_standard_cited_is_listed_and_every_one_listed_is_cited() -> None:
    listed = {row[0]: row[2] for row in rows(read("docs/standards.md")) if row[0].isdigit()}
    assert set(listed.values()) <= {"yes", "partly", "no"}
    assert _cited() - listed.keys() == set()
    assert {number for number, support in listed.items() if support != "no"} - _cited() == set()


def test_the_index_of_sections_is_that_of_the_code() -> None:
    assert read(citations.PAGE) == citations.page(), "out of date: `./dev index` writes it anew"


def _required() -> list[Requirement]:
    """What is needed to run, for the extras and to develop."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    groups += project["dependency-groups"].values()
    return [Requirement(text) for group in groups for text in group]


def test_every_dependency_has_its_reason() -> None:
    wanted = {requirement.name for requirement in _required()} | {"hatchling"}
    assert {code(row[0]) for row in rows(read("docs/decisions/0002-dependencies.md"))} == wanted


def test_every_dependency_is_locked_to_a_version_in_its_range() -> None:
    versions = locking.locked(read(locking.FILE))
    for requirement in _required():
        assert requirement.specifier.contains(versions[locking.normal(requirement.name)]), requirement


def test_the_changelog_tells_of_this_version() -> None:
    assert re.search(rf"^## {re.escape(posthouse.__version__)}\b", read("CHANGELOG.md"), re.MULTILINE)


def test_every_endpoint_of_agentmail_is_in_the_matrix_as_it_is() -> None:
    built = {
        f"{method} {re.sub(r':str', '', path)}"
        for handler in HANDLERS
        for path in handler.paths
        for method in handler.http_methods
        if method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    }
    matrix = {
        code(row[0]): row[1] for row in rows(read("docs/api/agentmail.md")) if re.match(r"[A-Z]+ /v0", code(row[0]))
    }
    assert {endpoint for endpoint, support in matrix.items() if support in ("yes", "partly")} == built
    assert set(matrix.values()) <= {"yes", "partly", "no"}


def test_every_error_code_of_agentmail_is_listed_with_its_status() -> None:
    used = {
        (row.code, str(row.status)) for row in (*errors.ERRORS.values(), *errors.REASONS.values(), errors._INTERNAL)
    }
    listed = {(code(row[0]), row[1]) for row in rows(read("docs/api/agentmail.md")) if re.fullmatch(r"\d{3}", row[1])}
    assert listed == used


def test_every_event_type_of_agentmail_is_listed() -> None:
    listed = {code(row[0]) for row in rows(read("docs/api/agentmail.md"))}
    assert {name for name in listed if name.startswith(("message.", "domain."))} == set(EVENT_TYPES)


def test_every_word_given_to_dev_is_one_it_knows() -> None:
    named = set(re.findall(r"\./dev (\w+)", "".join(path.read_text("utf-8") for path in documents.paths())))
    assert named <= set(re.findall(r"^  (\w+)\)$", read("dev"), re.MULTILINE))
