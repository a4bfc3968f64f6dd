"""What the owner may name, surfaces and levels, and which surfaces this version has."""

from __future__ import annotations

from posthouse.api.surface import Surface
from posthouse.api.surfaces import BY_NAME
from posthouse.kit.errors import Invalid
from posthouse.kit.principal import LEVELS

# Names of surfaces that this version lacks are known, and refused with a sentence.
KNOWN_SURFACES = tuple(sorted({*BY_NAME, "mailgi", "agenticmail", "commune"}))


class NotBuilt(Invalid):
    """Known, and not part of this version."""

    code = "not_built"


def check_surface(surface: str) -> Surface:
    """A surface this version has.

    Raises:
        Invalid: no surface of ours.
        NotBuilt: one that a later version has.
    """
    if surface not in KNOWN_SURFACES:
        raise Invalid(f"the surfaces are {', '.join(KNOWN_SURFACES)}", field="surface")
    spoken = BY_NAME.get(surface)
    if spoken is None:
        raise NotBuilt(f"this version does not speak {surface} yet", field="surface")
    return spoken


def check_level(level: str) -> str:
    """A level.

    Raises:
        Invalid: no level of ours.
    """
    if level not in LEVELS:
        raise Invalid(f"the levels are {', '.join(LEVELS)}", field="level")
    return level
