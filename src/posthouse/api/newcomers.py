"""Who may register without a key: one rule for every door that lets newcomers in.

That a caller sits on this machine is no permission by itself. A web page shown in a browser here calls from here,
under whatever name its DNS gives this machine; so does everybody behind a proxy here. What tells them apart is in
the request's head, and is judged in one place.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from posthouse.api.services import Services
from posthouse.kit.config import Settings
from posthouse.kit.errors import Forbidden, TooMany

# Set by `api.http`: whether a trusted proxy named the caller, who is `scope["client"]` then.
BELIEVED = "posthouse.is_client_believed"
# Names proxies give the caller, beside all that begin with `x-forwarded` (RFC 7239, RFC 9110 §7.6.3, common use).
_FORWARDING = frozenset(
    {
        b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"true-client-ip",
        b"cf-connecting-ip", b"fastly-client-ip", b"fly-client-ip", b"x-original-forwarded-for",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request's head says of who sent it.

    Attributes:
        address: who called, or whom a trusted proxy named; "" is unknown.
        is_forwarded: it came through a proxy whose word is not taken.
        hosts: each `Host` (RFC 9110 §7.2).
        origins: each `Origin` (RFC 6454 §7): a browser sends it with every POST of a page.
        fetch_sites: each `Sec-Fetch-Site`: what the browser says of the page.
        content_types: each media type, without parameters.
    """

    address: str
    is_forwarded: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    fetch_sites: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OurNames:
    """What this server is called: the shared domain and, if it is set, where callers reach it."""

    domain: str
    public_base_url: str = ""

    @classmethod
    def of(cls, settings: Settings) -> OurNames:
        """As the settings have it."""
        return cls(settings.domain, settings.public_base_url)

    def has(self, host: str) -> bool:
        """Whether a `Host` is one of ours: a name that leads to loopback everywhere, or one that was set."""
        name = _without_port(host)
        public = _without_port(urlsplit(self.public_base_url).netloc)
        return bool(name) and (name in (self.domain, public) or _is_loopback_name(name))


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Read the head of a request."""
    found: dict[bytes, list[str]] = {}
    is_forwarded = False
    for name, value in scope["headers"]:
        found.setdefault(name, []).append(value.decode("latin-1").strip())
        is_forwarded = is_forwarded or name in _FORWARDING or name.startswith(b"x-forwarded")
    client = scope.get("client")
    return Caller(
        address=client[0] if client else "",
        is_forwarded=is_forwarded and not scope.get(BELIEVED),
        hosts=tuple(found.get(b"host", ())),
        origins=tuple(found.get(b"origin", ())),
        fetch_sites=tuple(site.lower() for site in found.get(b"sec-fetch-site", ())),
        content_types=tuple(kind.partition(";")[0].strip().lower() for kind in found.get(b"content-type", ())),
    )


def check_no_page(caller: Caller, ours: OurNames) -> None:
    """Whether no foreign web page sent it; what it sends a browser's user has not asked for.

    Raises:
        Forbidden: one did (reason `signup_closed`).
    """
    if any(site not in ("same-origin", "none") for site in caller.fetch_sites) or not all(
        _is_own_origin(origin, caller, ours) for origin in caller.origins
    ):
        raise Forbidden("web pages of other sites register nobody here", reason="signup_closed")


def check(setting: Literal["loopback", "open", "off"], caller: Caller, ours: OurNames) -> None:
    """Whether this caller may register, as the setting SIGNUP says.

    Raises:
        Forbidden: it may not (reason `signup_closed`).
    """
    if setting == "off":
        raise Forbidden("this server lets nobody register without a key", reason="signup_closed")
    check_no_page(caller, ours)
    if caller.content_types != ("application/json",):
        # What a page may send anywhere without asking first is never this (Fetch, "simple" requests).
        raise Forbidden("a registration is sent as application/json", reason="signup_closed")
    if setting == "open":
        return
    if caller.is_forwarded or not is_loopback(caller.address):
        raise Forbidden(
            "this server lets nobody register without a key from where you are; ask its operator",
            reason="signup_closed",
        )
    # A page whose own name leads here (DNS rebinding) is at home with its browser, but calls us by that name.
    if len(caller.hosts) != 1 or not ours.has(caller.hosts[0]):
        raise Forbidden("whoever registers calls this server by its own name or as localhost", reason="signup_closed")


def admit(services: Services, scope: Mapping[str, Any]) -> None:
    """Let a newcomer in. Raises as `check` does."""
    check(services.settings.signup, caller_of(scope), OurNames.of(services.settings))


def count(services: Services, who: str, most: int, window_s: int, what: str) -> None:
    """Count one more of what callers without a key do.

    Raises:
        TooMany: it was the last there may be in this window.
    """
    allowance = services.limiter.take(who, most, window_s)
    if allowance.exceeded:
        raise TooMany(what, retry_after_s=max(1, allowance.reset_at_s - services.clock() // 1000))


def network_of(scope: Mapping[str, Any]) -> str:
    """The caller's address; of IPv6 the network, which is what one caller has."""
    client = scope.get("client")
    address = _address(client[0] if client else "")
    if address is None:
        return "unknown"
    if address.version == 6 and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_loopback(text: str) -> bool:
    """Whether an address is this machine's own."""
    address = _address(text)
    return address is not None and address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # On a socket for both, an IPv4 caller has an address of this form (RFC 4291 §2.5.5.2).
    return getattr(address, "ipv4_mapped", None) or address


def _is_own_origin(origin: str, caller: Caller, ours: OurNames) -> bool:
    if ours.public_base_url and origin.lower() == ours.public_base_url.lower():
        return True
    scheme, separator, authority = origin.lower().partition("://")
    # Another port of ours is another origin: what listens there is somebody else's.
    here = {host.lower() for host in caller.hosts}
    return bool(separator) and scheme in ("http", "https") and {authority} == here and ours.has(authority)


def _without_port(authority: str) -> str:
    name = authority.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def _is_loopback_name(name: str) -> bool:
    # RFC 6761 §6.3: these names lead to this machine whatever DNS says.
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)
