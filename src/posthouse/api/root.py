"""What belongs to no surface: health, documentation, metrics, the front page. Everything works offline."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from posthouse import __version__, jobs
from posthouse.api.services import Services
from posthouse.api.surface import App, Surface
from posthouse.kit.clock import iso
from posthouse.kit.errors import PosthouseError

Answer = tuple[int, dict[str, str], bytes]
_JSON = {"content-type": "application/json"}
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "code{background:#f3f3f0;padding:.1em .3em;border-radius:3px}table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid #ddd;padding:.35em .6em;text-align:left;vertical-align:top}"
    "summary{cursor:pointer}.m{font-weight:600;width:5rem}"
    "@media(prefers-color-scheme:dark){body{background:#1c1c1a;color:#ddd}code{background:#2c2c29}}"
)


class Root:
    """Answers the shared paths."""

    def __init__(self, services: Services, surfaces: Sequence[Surface], apps: Mapping[str, App]) -> None:
        """`apps` are the surfaces' applications by name."""
        self._services = services
        self._surfaces = surfaces
        self._apps = apps

    async def answer(self, scope: Mapping[str, Any]) -> Answer:
        """Status, headers and body for a path outside every surface."""
        path = scope["path"].rstrip("/") or "/"
        if scope["method"] not in ("GET", "HEAD"):
            return _not_found(405)
        if path == "/health":
            return await self._health()
        if path == "/health/ready":
            return await self._ready()
        if path == "/openapi.json":
            return 200, _JSON, msgspec.json.encode(self.openapi(_surface_of(scope)))
        if path == "/docs":
            return self._docs()
        if path == "/docs/errors":
            return self._error_docs()
        if path == "/":
            return self._front()
        return _not_found(404)

    async def _state(self) -> str:
        try:
            await self._services.db.read(jobs.look)
        except PosthouseError:
            return "error"
        return "ok"

    async def _health(self) -> Answer:
        engine = await self._state()
        body = {
            "status": "ok",
            "ok": True,
            "version": __version__,
            "services": {"api": "ok", "stalwart": engine},
            "timestamp": iso(self._services.clock()),
        }
        return 200, _JSON, msgspec.json.encode(body)

    async def _ready(self) -> Answer:
        engine = await self._state()
        body = {
            "status": "ok" if engine == "ok" else "degraded",
            "checks": {"database": engine, "stalwart": engine},
        }
        return (200 if engine == "ok" else 503), _JSON, msgspec.json.encode(body)

    def openapi(self, surface: str | None = None) -> dict[str, Any]:
        """One OpenAPI 3.1 document of all surfaces, or of one."""
        merged: dict[str, Any] = {
            "openapi": "3.1.0",
            "info": {"title": "Posthouse", "version": __version__},
            "paths": {},
            "components": {
                "schemas": {},
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"key": []}],
        }
        for name, app in self._apps.items():
            document = app.openapi() if surface in (None, name) else None
            if document is not None:
                for path, operations in document.get("paths", {}).items():
                    merged["paths"][path] = {
                        method: operation | {"tags": [name]} for method, operation in operations.items()
                    }
                merged["components"]["schemas"].update(document.get("components", {}).get("schemas", {}))
        return merged

    def _docs(self) -> Answer:
        rows = []
        for path, operations in sorted(self.openapi()["paths"].items()):
            for method, operation in operations.items():
                rows.append(
                    f"<tr><td class=m>{method.upper()}</td><td><code>{html.escape(path)}</code></td>"
                    f"<td>{html.escape(operation.get('description') or operation.get('summary') or '')}</td></tr>"
                )
        body = (
            "<p>Every call takes <code>Authorization: Bearer &lt;key&gt;</code>. The same as data: "
            "<a href='/openapi.json'>/openapi.json</a>.</p><table><tr><th>Method<th>Path<th>What it does</tr>"
            + "".join(rows)
            + "</table>"
        )
        return _page("API", body)

    def _error_docs(self) -> Answer:
        rows = "".join(
            f"<tr id='{html.escape(row.code)}'><td><code>{html.escape(row.code)}</code></td><td>{row.status}</td>"
            f"<td>{html.escape(row.name)}</td></tr>"
            for row in sorted({row.code: row for each in self._surfaces for row in each.error_codes}.values())
        )
        return _page("Errors", f"<table><tr><th>Code<th>Status<th>Name</tr>{rows}</table>")

    def _front(self) -> Answer:
        return _page(
            "Posthouse",
            f"<p>Mail for agents, version {__version__}.</p><ul><li><a href='/docs'>The API</a>"
            "<li><a href='/openapi.json'>as OpenAPI</a><li><a href='/health'>Health</a></ul>",
        )


def _surface_of(scope: Mapping[str, Any]) -> str | None:
    query: str = scope["query_string"].decode("latin-1")
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "surface":
            return value
    return None


def _page(title: str, body: str) -> Answer:
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>{body}"
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
    }
    return 200, headers, page.encode()


def _not_found(status: int) -> Answer:
    return status, _JSON, msgspec.json.encode({"error": "there is nothing at this path"})
