"""To whom it goes: people an account has never written to, domains that look like known ones, answers led astray.

A text can lead an agent to answer somebody else: by a Reply-To, by an address in its words. What was never written to
is no crime; it is what the owner wants to see beside the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from posthouse.scan.outbound import POINTS
from posthouse.scan.verdict import Finding
from posthouse.store import correspondents, messages
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import normalize, split
from posthouse.wire.text import nfkd

# Shorter names are within one letter of half the world.
_LONG_ENOUGH = 6
# What is read for something else, in the order in which it is undone.
_READ_AS = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("0", "o"), ("1", "l"), ("5", "s"), ("i", "l"), ("-", ""))
# Letters of other scripts that are drawn like Latin ones.
_DRAWN_AS = str.maketrans("абевгнкморстухіјѕԁԛԝαβεικνορτυχ", "abebrhkmopctyxijsdqwabeikvoptyx")
_MANY = 20


async def findings(
    tx: Tx, account: Account, recipients: Sequence[str], *, answers: Collection[str], own: Collection[str]
) -> list[Finding]:
    """What is to be said of the recipients of a message.

    Args:
        answers: the Message-IDs that the message says it answers.
        own: the account's addresses, normalised.
    """
    asked = {normalize(email) for email in recipients} - set(own)
    new = asked - await correspondents.among(tx, account.id, asked)
    if not new:
        return []
    asked_by, led_to = await _of_parent(tx, account, answers)
    strangers = sorted(new - asked_by)[:_MANY]
    if not strangers:
        return []
    known = await correspondents.domains(tx, account.id) | {split(address)[1] for address in own}
    return [*_said_of(strangers, known, asked_by, led_to)]


def _said_of(
    strangers: Sequence[str], known: Collection[str], asked_by: Collection[str], led_to: Collection[str]
) -> Iterator[Finding]:
    for address in strangers:
        domain = split(address)[1]
        alike = looks_like(domain, known)
        if alike is not None:
            yield _finding("ob_lookalike_domain", "high", f"{domain} looks like {alike}, and is another.", address)
        elif address in led_to:
            same = any(domain == split(author)[1] for author in asked_by)
            severity = "medium" if same else "high"
            yield _finding(
                "ob_reply_elsewhere", severity, "The mail answered asks for answers to somebody else.", address
            )
        else:
            yield _finding("ob_new_recipient", "low", "This account has never written to this address.", address)


async def _of_parent(tx: Tx, account: Account, answers: Collection[str]) -> tuple[set[str], set[str]]:
    """Who wrote what is answered, and to whom else it wants the answers."""
    for message_id in answers:
        parent = await messages.by_header_message_id(tx, account.id, message_id)
        if parent is not None and parent.direction == "in":
            authors = {normalize(person.email) for person in parent.from_list}
            return authors, {normalize(person.email) for person in parent.reply_to_list} - authors
    return set(), set()


def looks_like(domain: str, known: Collection[str]) -> str | None:
    """The known domain that this one is easily read for; None when there is none, or it is known itself."""
    if domain in known:
        return None
    skeleton = _skeleton(domain)
    for other in sorted(known):
        if domain.endswith("." + other) or other.endswith("." + domain):
            continue  # a host of it, which is its owner's to name
        if skeleton == _skeleton(other):
            return other
        # A name with one letter more, less or another, under the same end.
        (name, _, end), (other_name, _, other_end) = domain.partition("."), other.partition(".")
        if end == other_end and min(len(name), len(other_name)) >= _LONG_ENOUGH and _within_one(name, other_name):
            return other
    return None


@lru_cache(4_096)
def _skeleton(domain: str) -> str:
    """A domain as it is read at a glance."""
    try:
        shown = ".".join(
            label.encode().decode("idna") if label.startswith("xn--") else label for label in domain.split(".")
        )
    except UnicodeError:
        shown = domain
    plain = "".join(char for char in nfkd(shown).lower() if not 0x300 <= ord(char) < 0x370).translate(_DRAWN_AS)
    for drawn, read in _READ_AS:
        plain = plain.replace(drawn, read)
    return plain


def _within_one(one: str, other: str) -> bool:
    """Whether one letter more, less, another, or two changed about make one name the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    if len(one) == len(other):
        swapped = one[at + 1 : at + 2] + one[at : at + 1] == other[at : at + 2] and one[at + 2 :] == other[at + 2 :]
        return swapped or one[at + 1 :] == other[at + 1 :]
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return longer[at + 1 :] == shorter[at:]


def _finding(rule_id: str, severity: str, description: str, address: str) -> Finding:
    return Finding(rule_id, "recipients", severity, description, address[:80], "recipients", POINTS[severity])
