"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass

# From the strictest to the loosest (docs/decisions/0009). A key may only tighten the account's level.
LEVELS: tuple[str, ...] = ("read_only", "gated", "guarded", "monitored", "autonomous")


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of a credential, with what it may see and do.

    Attributes:
        organization_id: the tenant; nothing outside of it exists for this caller.
        pod_id: set when the credential is bound to one pod.
        account_id: set when the credential is bound to one account.
        key_id: the API key used; None for the owner on the command line.
        surface: the surface the key was made for.
        rights: what the key may do, in the core's words (`accounts.rights`); None means all within its reach.
        level: the key's own oversight level, which may only tighten the account's; None adds nothing.
        is_owner: the owner of the installation, who alone loosens policy and decides holds.
        is_house: the house itself, with mail of its own (`house`); no credential is ever this.
    """

    organization_id: str
    pod_id: str | None = None
    account_id: str | None = None
    key_id: str | None = None
    surface: str = "owner"
    rights: frozenset[str] | None = None
    level: str | None = None
    is_owner: bool = False
    is_house: bool = False

    @classmethod
    def house(cls, organization_id: str) -> Principal:
        """The house, writing from an account of the owner's what somebody waits for, such as a code."""
        return cls(organization_id, surface="house", is_owner=True, is_house=True)

    def may(self, right: str) -> bool:
        """Whether the key has a right."""
        return self.rights is None or right in self.rights


def tighter(*levels: str | None) -> str | None:
    """The strictest of the levels given; None when none of them is an opinion."""
    given = [LEVELS.index(level) for level in levels if level is not None]
    return LEVELS[min(given)] if given else None


def strictest(*levels: str | None) -> str:
    """The strictest of the levels given; None is no opinion, and with no opinion at all it is `monitored`."""
    return tighter(*levels) or "monitored"
