"""Who may hear of what: an event says no more than the mail or the thing it is about would say when it was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from posthouse.accounts.rights import READS_MAIL, SEES, Right, hidden_from, may
from posthouse.events import outbox
from posthouse.kit.principal import Principal
from posthouse.mail import visibility
from posthouse.store.events import Event

# The kind of mail that events of a type are about.
KIND_OF_TYPE = {
    outbox.RECEIVED_SPAM: visibility.JUNK,
    outbox.RECEIVED_BLOCKED: visibility.BLOCKED,
    outbox.RECEIVED_UNAUTHENTICATED: visibility.UNAUTHENTICATED,
}


def hidden_type(principal: Principal, types: Iterable[str]) -> str | None:
    """The first of the types whose mail does not exist for the caller; None when there is none."""
    hidden = hidden_from(principal)
    return next((type_ for type_ in types if KIND_OF_TYPE.get(type_) in hidden), None)


def lacking(principal: Principal, types: Sequence[str]) -> Right | None:
    """The right that somebody lacks to hear of events of these types; None when they may."""
    if not may(principal, READS_MAIL):
        return next(right for right in sorted(READS_MAIL) if not principal.may(right))
    hidden = hidden_type(principal, types)
    if hidden is not None:
        return SEES[KIND_OF_TYPE[hidden]]
    if outbox.DOMAIN_VERIFIED in types and not principal.may(Right.DOMAIN_READ):
        return Right.DOMAIN_READ
    return None


def readable(principal: Principal, types: Iterable[str]) -> list[str]:
    """Those of the types that somebody may hear of who reads mail."""
    return [type_ for type_ in types if lacking(principal, [type_]) is None]


def hears(principal: Principal, event: Event) -> bool:
    """Whether an event is for this caller: within its reach, and about what it may read."""
    return (
        may(principal, READS_MAIL)
        and principal.pod_id in (None, event.pod_id)
        and principal.account_id in (None, event.account_id)
        and (event.type != outbox.DOMAIN_VERIFIED or principal.may(Right.DOMAIN_READ))
    )
