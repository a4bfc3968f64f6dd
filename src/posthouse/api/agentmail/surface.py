"""AgentMail's door, as the house knows it."""

from __future__ import annotations

import msgspec

from posthouse.api.agentmail import app, errors, stream
from posthouse.api.agentmail.auth import SURFACE
from posthouse.api.agentmail.events import DIALECT
from posthouse.api.agentmail.permissions import PERMISSIONS
from posthouse.api.surface import ErrorCode, Surface
from posthouse.kit.errors import PosthouseError


def _error(error: PosthouseError) -> tuple[int, bytes]:
    row = errors.row_of(error)
    return row.status, msgspec.json.encode(errors.body(row, error.message, reason=error.reason))


AGENTMAIL = Surface(
    name=SURFACE,
    paths=frozenset({("v0",)}),
    create=app.AgentMailApp,
    error=_error,
    frames={"/v0": stream.MAX_FRAME},
    permissions=PERMISSIONS,
    events=DIALECT,
    error_codes=tuple(
        ErrorCode(row.code, row.status, row.name) for row in (*errors.ERRORS.values(), *errors.REASONS.values())
    ),
    newcomers=frozenset({("v0", "agent", "sign-up")}),
)
