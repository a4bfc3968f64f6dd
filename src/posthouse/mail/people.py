"""Names and addresses as text, and back."""

from __future__ import annotations

from functools import lru_cache

from posthouse.store.messages import Person
from posthouse.wire.address import Address, format_address, parse_address


@lru_cache(16_384)
def text(person: Person) -> str:
    """`local@domain` or `Name <local@domain>`."""
    return format_address(Address(person.email, person.name))


def read(written: str) -> Address:
    """An address that a caller wrote, with a name or without. Raises `Invalid`."""
    return parse_address(written)
