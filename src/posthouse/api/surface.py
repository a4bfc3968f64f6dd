"""What the house has to know of a surface: one folder below `api`, and one line in `surfaces`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from posthouse.accounts.rights import Right
from posthouse.api.services import Services
from posthouse.events.webhooks import Dialect
from posthouse.kit.errors import PosthouseError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class App(Protocol):
    """A surface's ASGI application, for its HTTP requests and its WebSockets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""

    def openapi(self) -> dict[str, Any] | None:
        """Its OpenAPI document; None where the dialect has another way to describe itself."""


class ErrorCode(NamedTuple):
    """A row of the page `/docs/errors`."""

    code: str
    status: int
    name: str


@dataclass(frozen=True, slots=True)
class Surface:
    """A dialect.

    Attributes:
        name: kept with keys, endpoints and submissions, and given to `posthouse key create --surface`.
        paths: the paths that are its own, with all below them; each as its steps, matched whole.
        create: its application. Called once for the house; what it holds open lives as long.
        error: how it tells of an error that is found before its application is asked: status and JSON body.
        frames: the longest message that may come in on a WebSocket, in octets, by the socket's path.
        permissions: the words a key's rights are given by, with what each means; none: its keys may do all.
        is_of_one_account: its keys open one account, never a whole organisation.
        events: how its webhooks tell of events; None without webhooks.
        error_codes: the codes that its errors carry.
        newcomers: paths where callers come without a key, as their steps: web pages are answered nothing there.
    """

    name: str
    paths: frozenset[tuple[str, ...]]
    create: Callable[[Services, int], App]
    error: Callable[[PosthouseError], tuple[int, bytes]]
    frames: Mapping[str, int] = field(default_factory=dict)
    permissions: Mapping[str, frozenset[Right]] = field(default_factory=dict)
    is_of_one_account: bool = False
    events: Dialect | None = None
    error_codes: tuple[ErrorCode, ...] = ()
    newcomers: frozenset[tuple[str, ...]] = frozenset()

    def rights_of(self, permissions: Collection[str]) -> list[Right]:
        """The core's rights that some of its permissions are."""
        return sorted({right for permission in permissions for right in self.permissions[permission]})
