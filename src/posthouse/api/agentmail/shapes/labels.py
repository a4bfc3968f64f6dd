"""Labels: AgentMail's one way of saying where a message lies, what became of it and what it is called."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

from posthouse.kit.errors import Invalid
from posthouse.mail import marking
from posthouse.mail.filing import BLOCKED, DRAFT, FLAGGED, HELD, SEEN, SIGNATURE_UNCHECKED, UNAUTHENTICATED
from posthouse.mail.mailboxes import JUNK, TRASH
from posthouse.mail.marking import Patch
from posthouse.store.filters import Condition, Filter, Operator
from posthouse.store.messages import Message as StoredMessage

# Written by the server alone.
SYSTEM = frozenset(
    {
        "sent", "received", "blocked", "unauthenticated", "scheduled", "draft", "held", "bounced", "delivered",
        "complained", "rejected", "signature_unchecked", "agent-armor-held", "opened",
    }
)  # fmt: skip
# Settable, with a meaning of their own.
MEANINGFUL = frozenset({"read", "unread", "spam", "trash", "starred"})
_WORDS = SYSTEM | MEANINGFUL
_DELIVERY = {
    "delivered": "delivered",
    "bounced": "bounced",
    "failed": "bounced",
    "complained": "complained",
    "rejected": "rejected",
    "scheduled": "scheduled",
}
# Of what goes out, these have not gone.
_NOT_SENT = ("held", "rejected", "canceled", "scheduled")
_FROM_KEYWORD = {
    BLOCKED: "blocked",
    UNAUTHENTICATED: "unauthenticated",
    HELD: "held",
    FLAGGED: "starred",
    SIGNATURE_UNCHECKED: "signature_unchecked",
}


def labels_of(message: StoredMessage) -> list[str]:
    """A message's labels, in alphabetical order."""
    roles = message.roles
    return list(_labels(message.keywords, message.direction, message.delivery_state, JUNK in roles, TRASH in roles))


# Most messages of a mailbox are alike in all that counts here.
@lru_cache(8_192)
def _labels(
    keywords: tuple[str, ...], direction: str, delivery_state: str | None, is_junk: bool, is_trash: bool
) -> tuple[str, ...]:
    # A keyword of another surface that is called like one of our words does not say what the word says.
    labels = {keyword for keyword in keywords if not keyword.startswith("$") and not _is_own_word(keyword)}
    labels.update(label for keyword, label in _FROM_KEYWORD.items() if keyword in keywords)
    if direction == "in":
        labels.update(("received", "read" if SEEN in keywords else "unread"))
    elif DRAFT in keywords:
        labels.add("draft")
    elif delivery_state not in _NOT_SENT:
        labels.add("sent")
    if delivery_state in _DELIVERY:
        labels.add(_DELIVERY[delivery_state])
    if is_junk and "blocked" not in labels:
        labels.add("spam")
    if is_trash:
        labels.add("trash")
    return tuple(sorted(labels))


def _is_own_word(label: str) -> bool:
    """Whether a label is one of the words with a meaning here, in whatever case it is written."""
    return label in _WORDS or marking.folded(label) in _WORDS


def free_labels(labels: Iterable[str] | None, field: str = "labels") -> list[str]:
    """The labels a sender gives a message: the server's own words in them are passed over."""
    found = []
    for label in labels or ():
        if label.startswith("$"):
            raise Invalid("a label does not begin with $", field=field)
        if not _is_own_word(label):
            found.append(label)
    return found


def patch_of(add: Collection[str], remove: Collection[str]) -> Patch:
    """What adding and removing labels means for a message. A label in both is removed.

    Raises:
        Invalid: one of them is written by the server alone.
    """
    for name, labels in (("add_labels", add), ("remove_labels", remove)):
        for label in labels:
            if label.startswith("$") or (_is_own_word(label) and label not in MEANINGFUL):
                raise Invalid(f"{label!r} is set by the server", field=name)
    added = [label for label in add if label not in remove]
    keywords_added = {label for label in added if label not in MEANINGFUL}
    keywords_removed = {label for label in remove if label not in MEANINGFUL}
    if "read" in added or "unread" in remove:
        keywords_added.add(SEEN)
    if "unread" in added or "read" in remove:
        keywords_removed.add(SEEN)
    if "starred" in added:
        keywords_added.add(FLAGGED)
    if "starred" in remove:
        keywords_removed.add(FLAGGED)
    take_from = {role for label, role in (("trash", TRASH), ("spam", JUNK)) if label in remove}
    return Patch(
        add=keywords_added,
        remove=keywords_removed,
        move_to="trash" if "trash" in added else "junk" if "spam" in added else None,
        take_from=take_from,
    )


def filter_of(
    labels: Collection[str],
    *,
    included: Collection[str],
    hidden: Collection[str],
    from_: Collection[str] = (),
    to: Collection[str] = (),
    subject: Collection[str] = (),
) -> Filter | None:
    """The core's filter for a listing; None when nothing can match.

    Args:
        labels: all of these must be on the message.
        included: of spam, blocked, unauthenticated and trash, those that are not left out.
        hidden: those the key may not see, whatever is asked for.
    """
    if set(labels) & set(hidden):
        return None
    shown = (set(included) | set(labels)) - set(hidden)
    keywords, without = [], ["$draft"]
    roles: list[str] = []
    without_roles = [role for label, role in (("spam", JUNK), ("trash", TRASH)) if label not in shown]
    directions: set[str] = {"in", "out"}
    without.extend(keyword for keyword in (BLOCKED, UNAUTHENTICATED) if _FROM_KEYWORD[keyword] not in shown)
    if "blocked" in labels and JUNK in without_roles:
        without_roles.remove(JUNK)  # blocked mail lies there
    no_junk_but_blocked = "blocked" in shown and JUNK in without_roles
    if no_junk_but_blocked:
        without_roles.remove(JUNK)
    states: list[str] = []
    not_in: tuple[str, ...] = ()
    for label in labels:
        if label == "read":
            keywords.append(SEEN)
            directions &= {"in"}
        elif label == "unread":
            without.append(SEEN)
            directions &= {"in"}
        elif label == "received":
            directions &= {"in"}
        elif label == "sent":
            directions &= {"out"}
            not_in = _NOT_SENT
        elif label == "spam":
            roles.append(JUNK)
            without.append(BLOCKED)
        elif label == "trash":
            roles.append(TRASH)
        elif label == "draft":
            return None
        elif label in _DELIVERY.values():
            states.append(label)
        else:
            keyword = next((keyword for keyword, name in _FROM_KEYWORD.items() if name == label), label)
            keywords.append(keyword)
    if not directions or len(states) > 1 or set(keywords) & set(without):
        return None
    found = Condition(
        keywords=tuple(keywords),
        without_keywords=tuple(keyword for keyword in without if keyword not in keywords),
        roles=tuple(roles),
        without_roles=tuple(without_roles),
        directions=tuple(sorted(directions)) if directions != {"in", "out"} else (),
        delivery_states=tuple(state for state, label in _DELIVERY.items() if label in states),
        without_delivery_states=not_in,
        from_contains=tuple(from_),
        to_contains=tuple(to),
        subject_contains=tuple(subject),
    )
    if not no_junk_but_blocked:
        return found
    allowed = Operator("OR", (Condition(without_roles=(JUNK,)), Condition(keywords=(BLOCKED,))))
    return Operator("AND", (found, allowed))


# Marks of a message that are labels under another name.
_OF_MARK = {**_FROM_KEYWORD, f"role:{JUNK}": "spam", f"role:{TRASH}": "trash"}


def label_of_mark(mark: str, *, is_added: bool) -> tuple[str, bool] | None:
    """The label a mark of the core is, and whether it came; None for a mark that is no label.

    Being seen is told as `unread` going, as the label that a received message had.
    """
    if mark == SEEN:
        return "unread", not is_added
    if mark in _OF_MARK:
        return _OF_MARK[mark], is_added
    return None if mark.startswith(("$", "role:")) else (mark, is_added)
