"""What a request says beside its body: the credential, the origin it came by, lists of values in its query."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from posthouse.kit.config import Settings
from posthouse.kit.errors import Invalid


def list_of(values: Iterable[str] | None, field: str) -> tuple[str, ...]:
    """Values of a repeated query parameter: repeated, joined by commas, or one JSON array.

    Raises:
        Invalid: it begins like a JSON array and is none.
    """
    found: list[str] = []
    for value in values or ():
        if value.lstrip().startswith("["):
            try:
                found.extend(msgspec.json.decode(value, type=list[str]))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise Invalid("expected an array of strings", field=field) from error
        else:
            found.extend(part.strip() for part in value.split(",") if part.strip())
    if len(found) > 100:
        raise Invalid("at most 100 values", field=field)
    return tuple(found)


def base_url(settings: Settings, scheme: str, host: str) -> str:
    """Where callers reach us: the setting, else what this request came by. For answers to this caller only.

    Whatever is stored or mailed uses `settings.public_base_url` alone, never a Host header.
    """
    return settings.public_base_url or f"{scheme}://{host}"


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The credential of an `Authorization: Bearer` header, the scheme in any case; None without one."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credential = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and credential.strip():
                return credential.strip()
    return None
