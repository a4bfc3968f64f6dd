"""What the formats that need DNS ask of it. The real one is `net/dns.py`; tests hand over a dictionary."""

from __future__ import annotations

from typing import Protocol


class NameNotFound(Exception):
    """The name, or a record of that type at it, does not exist: a final answer (NXDOMAIN or no data).

    Attributes:
        no_domain: the name itself does not exist (NXDOMAIN), not only the record type.
    """

    def __init__(self, name: str, *, no_domain: bool = False) -> None:
        super().__init__(name)
        self.no_domain = no_domain


class ResolverFailure(Exception):
    """No answer could be had now (SERVFAIL, time-out, broken packet): worth another try later."""


class Resolver(Protocol):
    """DNS look-ups, each bounded in time. All raise `NameNotFound` or `ResolverFailure`."""

    async def txt(self, name: str) -> list[bytes]:
        """TXT records, the strings of each joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2)."""
        ...

    async def mx(self, name: str) -> list[tuple[int, str]]:
        """MX records as (preference, host); a null MX is (0, "") (RFC 7505)."""
        ...

    async def addresses(self, name: str) -> list[str]:
        """IPv4 and IPv6 addresses of a host; an address literal without brackets answers itself."""
        ...

    async def ptr(self, address: str) -> list[str]:
        """Host names an address points back to."""
        ...
