"""AgentMail's permissions, and which of the core's rights each of them is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from posthouse.accounts import hearing, rights
from posthouse.accounts.rights import Right
from posthouse.kit.errors import Forbidden
from posthouse.kit.principal import Principal
from posthouse.mail import visibility

_READ_CHANGE = ("read", "create", "update", "delete")


def _plain(word: str, noun: str, verbs: Collection[str]) -> dict[str, frozenset[Right]]:
    return {f"{word}_{verb}": frozenset({Right(f"{noun}.{verb}")}) for verb in verbs}


PERMISSIONS: Mapping[str, frozenset[Right]] = {
    **_plain("inbox", "account", _READ_CHANGE),
    "message_read": frozenset({Right.MESSAGE_READ, Right.THREAD_READ, Right.ATTACHMENT_READ}),
    "message_send": frozenset({Right.MESSAGE_SEND, Right.ATTACHMENT_WRITE}),
    "message_update": frozenset({Right.MESSAGE_UPDATE, Right.THREAD_UPDATE}),
    "message_delete": frozenset({Right.MESSAGE_DELETE}),
    "label_spam_read": frozenset({Right.JUNK_SEE}),
    "label_blocked_read": frozenset({Right.BLOCKED_SEE}),
    "label_unauthenticated_read": frozenset({Right.UNAUTHENTICATED_SEE}),
    "label_trash_read": frozenset({Right.TRASH_SEE}),
    **_plain("draft", "draft", (*_READ_CHANGE, "send")),
    **_plain("webhook", "webhook", _READ_CHANGE),
    **_plain("domain", "domain", _READ_CHANGE),
    **_plain("list_entry", "list", ("read", "create", "delete")),
    "metrics_read": frozenset({Right.METRICS_READ}),
    **_plain("api_key", "key", _READ_CHANGE),
    **_plain("pod", "pod", ("read", "create", "delete")),
}
# The label that mail of each of the core's kinds has.
LABEL_OF_KIND: Mapping[str, str] = {
    visibility.JUNK: "spam",
    visibility.BLOCKED: "blocked",
    visibility.UNAUTHENTICATED: "unauthenticated",
    visibility.TRASH: "trash",
}


def rights_of(permissions: Collection[str]) -> list[Right]:
    """The core's rights that permissions are."""
    return sorted({right for permission in permissions for right in PERMISSIONS[permission]})


def permissions_of(held: Collection[str]) -> list[str]:
    """The permissions that rights come to: those of which none is lacking."""
    return sorted(permission for permission, wanted in PERMISSIONS.items() if wanted.issubset(held))


def may(principal: Principal, permission: str) -> bool:
    """Whether a key has a permission."""
    return rights.may(principal, PERMISSIONS[permission])


def need(principal: Principal, permission: str) -> None:
    """Raises `Forbidden` when the key lacks a permission."""
    if not may(principal, permission):
        raise Forbidden(f"this key lacks the permission {permission}", reason="missing_permission")


def hidden_labels(principal: Principal) -> frozenset[str]:
    """The labels whose messages do not exist for this key."""
    return frozenset(LABEL_OF_KIND[kind] for kind in rights.hidden_from(principal))


def need_to_hear(principal: Principal, types: Iterable[str]) -> None:
    """Raises `Forbidden` when events of one of the types are about mail that does not exist for this key."""
    hidden = hearing.hidden_type(principal, types)
    if hidden is not None:
        label = LABEL_OF_KIND[hearing.KIND_OF_TYPE[hidden]]
        raise Forbidden(f"this key may not hear of {label} mail", reason="missing_permission")
