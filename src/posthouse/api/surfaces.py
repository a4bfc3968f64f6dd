"""The surfaces of this house. A new one is a line here (docs/adding-a-surface.md)."""

from __future__ import annotations

from posthouse.api.agentmail.surface import AGENTMAIL
from posthouse.api.jmap.surface import ATOMICMAIL
from posthouse.api.surface import Surface

SURFACES: tuple[Surface, ...] = (AGENTMAIL, ATOMICMAIL)
BY_NAME: dict[str, Surface] = {surface.name: surface for surface in SURFACES}
