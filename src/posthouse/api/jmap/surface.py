"""JMAP's door with Atomic Mail's way in, as the house knows it."""

from __future__ import annotations

from posthouse.api.jmap import errors
from posthouse.api.jmap.app import JmapApp
from posthouse.api.jmap.auth import SURFACE
from posthouse.api.jmap.calls import MAX_SIZE_REQUEST
from posthouse.api.surface import Surface

ATOMICMAIL = Surface(
    name=SURFACE,
    paths=frozenset(
        {
            ("jmap",),
            (".well-known", "jmap"),
            (".well-known", "jwks.json"),
            ("api", "v1", "challenge"),
            ("api", "v1", "session"),
            ("api", "v1", "capability"),
        }
    ),
    create=JmapApp,
    error=errors.e1,
    frames={"/jmap/ws": MAX_SIZE_REQUEST},
    is_of_one_account=True,
    newcomers=frozenset({("api", "v1", "challenge"), ("api", "v1", "session")}),
)
