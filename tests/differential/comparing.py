"""Looking at an account from all sides, and comparing with the model; and a client's memory of earlier looks."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from differential.doors import Caller
from differential.model import SEEN, Account, Counts, Mail, Snapshot
from posthouse.kit.clock import parse_iso
from posthouse.store.mailboxes import Membership

_KINDS = ("Email", "Mailbox", "Thread")
_COUNTS = ["totalEmails", "unreadEmails", "totalThreads", "unreadThreads"]
# Looks a client remembers; each time it asks what changed since the last one and since one of the others, and
# follows a few of the lists.
_MEMORY = 10
_FOLLOWED = 3


@dataclass(frozen=True, slots=True)
class Query:
    """A list that a client follows: as JMAP asks for it, and as the model answers it."""

    filter: Callable[[Account], dict[str, Any]]
    wanted: Callable[[Account, Mail], bool]
    is_ascending: bool = False
    collapse: bool = False

    def args(self, account: Account) -> dict[str, Any]:
        """Its arguments."""
        sort = [{"property": "receivedAt", "isAscending": self.is_ascending}]
        return {"filter": self.filter(account), "sort": sort, "collapseThreads": self.collapse}

    def ids(self, account: Account) -> list[str]:
        """The model's answer: with `collapse`, the first of each thread."""
        found = account.newest_first(lambda mail: self.wanted(account, mail))
        first: dict[str, Mail] = {}
        for mail in reversed(found) if self.is_ascending else found:
            first.setdefault(mail.thread if self.collapse else mail.id, mail)
        return [mail.id for mail in first.values()]


def _in(key: str) -> tuple[Callable[[Account], dict[str, Any]], Callable[[Account, Mail], bool]]:
    return lambda account: {"inMailbox": account.box(key)}, lambda account, mail: account.box(key) in mail.boxes


def _unread_in_archive(account: Account) -> dict[str, Any]:
    return {"operator": "AND", "conditions": [{"inMailbox": account.box("archive")}, {"notKeyword": SEEN}]}


def _elsewhere(account: Account) -> dict[str, Any]:
    return {"inMailboxOtherThan": [account.box("trash"), account.box("junk")]}


QUERIES = (
    Query(*_in("inbox")),
    Query(*_in("inbox"), collapse=True),
    Query(*_in("trash"), is_ascending=True),
    Query(*_in("sent"), is_ascending=True, collapse=True),
    Query(lambda account: {"hasKeyword": "urgent"}, lambda account, mail: "urgent" in mail.keywords),
    Query(_unread_in_archive, lambda account, mail: account.box("archive") in mail.boxes and SEEN not in mail.labels),
    Query(_elsewhere, lambda account, mail: bool(mail.boxes - {account.box("trash"), account.box("junk")})),
    Query(lambda account: {}, lambda account, mail: True, collapse=True),
)


@dataclass(slots=True)
class Look:
    """What a client saw at one moment: the states and what they stood for."""

    states: dict[str, str]
    snapshot: Snapshot
    results: tuple[list[str], ...]


@dataclass(slots=True)
class Observer:
    """A client of one account that compares everything with the model, and remembers some of its looks."""

    account: Account
    caller: Caller
    chance: random.Random
    memory: list[Look] = field(default_factory=list)
    followed: dict[str, set[str]] = field(default_factory=dict)
    follows: dict[str, str] = field(default_factory=dict)
    places: dict[tuple[str, str], Membership] = field(default_factory=dict)
    uid_next: dict[str, int] = field(default_factory=dict)
    modseq: int = 0
    looked_at: int = 0

    async def compare(self) -> None:
        """Look from all sides."""
        snapshot = self.account.snapshot()
        results = tuple(query.ids(self.account) for query in QUERIES)
        states = await self._lists(snapshot, results)
        for look in [*self.chance.sample(self.memory[:-1], min(len(self.memory[:-1]), 1)), *self.memory[-1:]]:
            await self._changes(look, Look(states, snapshot, results))
        await self._follow(snapshot)
        await self._agentmail()
        await self._uids(snapshot)
        if len(self.memory) >= _MEMORY:
            self.memory.pop(self.chance.randrange(len(self.memory)))
        self.memory.append(Look(states, snapshot, results))
        self.looked_at = self.account.tick

    # -- JMAP, as it is now

    async def _lists(self, snapshot: Snapshot, results: tuple[list[str], ...]) -> dict[str, str]:
        """Mailboxes, mails, threads and lists; the states they are of."""
        names = ["mailboxIds", "keywords", "threadId", "receivedAt", "size", "messageId"]
        boxes, all_ids, mails, threads, quota, *lists = await self.caller.batch(
            ("Mailbox/get", {}),
            ("Email/query", {"sort": [{"property": "receivedAt", "isAscending": False}], "calculateTotal": True}),
            ("Email/get", {"#ids": {"resultOf": "1", "name": "Email/query", "path": "/ids"}, "properties": names}),
            ("Thread/get", {"ids": [*snapshot.threads, "none"]}),
            ("Quota/get", {}),
            *(("Email/query", query.args(self.account) | {"calculateTotal": True}) for query in QUERIES),
        )
        self._same("mailboxes", snapshot.mailboxes, {
            each["id"]: (each["name"], each["parentId"], Counts(*(each[name] for name in _COUNTS)))
            for each in boxes["list"]
        })  # fmt: skip
        self._same("all mails", [mail.id for mail in self.account.newest_first()], all_ids["ids"])
        shown = {
            each["id"]: (
                set(each["mailboxIds"]), set(each["keywords"]), each["threadId"], parse_iso(each["receivedAt"]),
                each["messageId"][0],
            )
            for each in mails["list"]
        }  # fmt: skip
        self._same("mails", {
            mail.id: (mail.boxes, mail.keywords, mail.thread, mail.received_at, mail.text.message_id)
            for mail in self.account.mails.values()
        }, shown)  # fmt: skip
        self._same("threads", snapshot.threads, {each["id"]: tuple(each["emailIds"]) for each in threads["list"]})
        self._same("no thread", ["none"], threads["notFound"])
        self._same("quota", quota["list"][0]["used"], sum(each["size"] for each in mails["list"]))
        for query, result, found in zip(QUERIES, results, lists, strict=True):
            self._same(f"query {query.args(self.account)}", result, found["ids"])
            self._same("its total", len(result), found["total"])
        return {"Email": mails["state"], "Mailbox": boxes["state"], "Thread": threads["state"]}

    # -- JMAP, since earlier

    async def _changes(self, then: Look, now: Look) -> None:
        """What the server tells of the time since a look leads from that look to this one."""
        followed = self.chance.sample(range(len(QUERIES)), _FOLLOWED)
        told = await self.caller.batch(
            *((f"{kind}/changes", {"sinceState": then.states[kind]}) for kind in _KINDS),
            *(
                ("Email/queryChanges", QUERIES[n].args(self.account) | {"sinceQueryState": then.states["Email"]})
                for n in followed
            ),
        )
        for kind, answer in zip(_KINDS, told, strict=False):
            old, new = then.snapshot.of(kind), now.snapshot.of(kind)
            what = f"{kind}/changes since {then.states[kind]} of {answer}"
            assert not answer.get("hasMoreChanges", True), what
            self._same(what, now.states[kind], answer["newState"])
            assert int(now.states[kind]) >= int(then.states[kind]), what
            self._same(f"{what}: created", set(new) - set(old), set(answer["created"]))
            self._same(f"{what}: destroyed", set(old) - set(new), set(answer["destroyed"]))
            differ = {id_ for id_ in set(old) & set(new) if old[id_] != new[id_]}
            touched = {
                id_ for id_ in set(old) & set(new) if self.account.touched.get((kind, id_), 0) > then.snapshot.tick
            }
            updated = set(answer["updated"])
            assert differ <= updated, f"{what}: not told of {differ - updated}"
            assert updated <= touched, f"{what}: told of {updated - touched}, to which nothing happened"
            if kind == "Mailbox" and answer["updatedProperties"] is not None:
                self._same(f"{what}: only counts", _COUNTS, answer["updatedProperties"])
                renamed = {
                    id_ for id_ in updated if then.snapshot.mailboxes[id_][:2] != now.snapshot.mailboxes[id_][:2]
                }
                assert not renamed, f"{what}: {renamed} have other names or places"
            if answer["newState"] == then.states[kind]:
                assert not differ and not updated and set(old) == set(new), what
        for n, answer in zip(followed, told[3:], strict=True):
            what = f"queryChanges {QUERIES[n].args(self.account)} since {then.states['Email']} of {answer}"
            self._same(f"{what}: state", now.states["Email"], answer["newQueryState"])
            kept = [id_ for id_ in then.results[n] if id_ not in set(answer["removed"])]
            for added in answer["added"]:
                kept.insert(added["index"], added["id"])
            self._same(what, now.results[n], kept)

    async def _follow(self, snapshot: Snapshot) -> None:
        """A client that keeps its copy by `/changes` alone, some at a time."""
        limit = self.chance.choice([2, 5, 20, 100])
        behind = list(_KINDS)
        while behind:
            told = await self.caller.batch(
                *(
                    (f"{kind}/changes", {"sinceState": self.follows.get(kind, "0"), "maxChanges": limit})
                    for kind in behind
                )
            )
            for kind, part in zip(behind, told, strict=True):
                known = self.followed.setdefault(kind, set())
                created, updated, destroyed = (set(part[name]) for name in ("created", "updated", "destroyed"))
                assert len(created) + len(updated) + len(destroyed) <= limit, (kind, part)
                assert not created & known, (kind, part)
                assert updated | destroyed <= known, (kind, part)
                self.followed[kind] = (known | created) - destroyed
                self.follows[kind] = part["newState"]
            behind = [kind for kind, part in zip(behind, told, strict=True) if part["hasMoreChanges"]]
        for kind in _KINDS:
            self._same(f"{kind} by changes of {limit}", set(snapshot.of(kind)), self.followed[kind])

    # -- AgentMail

    async def _agentmail(self) -> None:
        account = self.account
        everything = {"include_spam": "true", "include_trash": "true"}
        limit = self.chance.choice([7, 20, 100])
        sent = [mail for mail in account.newest_first() if not mail.is_draft]
        found = await self.caller.pages("messages", "messages", limit, **everything)
        self._same("AgentMail's messages", [
            (f"msg_{mail.id}", f"thd_{mail.thread}", sorted(account.labels(mail))) for mail in sent
        ], [(each["message_id"], each["thread_id"], each["labels"]) for each in found])  # fmt: skip
        aside = {"spam", "trash"}
        word = self.chance.choice(["", "read", "unread", "starred", "received", "trash", "spam", "Urgent", "two words"])
        wanted = [
            f"msg_{mail.id}"
            for mail in reversed(sent)
            if (not word or word in account.labels(mail)) and not account.labels(mail) & (aside - {word})
        ]
        query = {"labels": word} if word else {}
        found = await self.caller.pages("messages", "messages", limit, ascending="true", **query)
        self._same(f"AgentMail's messages with {word!r}", wanted, [each["message_id"] for each in found])
        await self._agentmail_threads(limit, everything)
        found = await self.caller.pages("drafts", "drafts", limit)
        drafts = [mail for mail in account.mails.values() if mail.is_draft]
        rows = (await self.caller.places([mail.id for mail in drafts])).drafts
        self._same("drafts", {mail.id for mail in drafts}, set(rows))
        self._same("AgentMail's drafts", {
            f"drf_{rows[mail.id]}": (
                f"thd_{mail.thread}", {"draft", *(label for label in mail.labels if not label.startswith("$"))}
            )
            for mail in drafts
        }, {each["draft_id"]: (each["thread_id"], set(each["labels"])) for each in found})  # fmt: skip

    async def _agentmail_threads(self, limit: int, everything: dict[str, str]) -> None:
        account = self.account
        wanted = []
        for thread in account.bases:
            members = account.members(thread)
            shown = [mail for mail in members if not mail.is_draft]
            if shown:
                labels = sorted(set[str]().union(*map(account.labels, shown)))
                moved = (members[-1].received_at, thread)
                wanted.append((moved, (f"thd_{thread}", labels, len(shown), f"msg_{shown[-1].id}")))
        found = await self.caller.pages("threads", "threads", limit, **everything)
        self._same("AgentMail's threads", [each for _, each in sorted(wanted, reverse=True)], [
            (each["thread_id"], each["labels"], each["message_count"], each["last_message_id"]) for each in found
        ])  # fmt: skip
        if wanted:
            thread = self.chance.choice(wanted)[0][1]
            got = await self.caller.agent("GET", f"threads/thd_{thread}")
            shown_ids = [f"msg_{mail.id}" for mail in account.members(thread) if not mail.is_draft]
            self._same("AgentMail's thread", shown_ids, [each["message_id"] for each in got["messages"]])

    # -- UIDs and change numbers, which neither API shows

    async def _uids(self, snapshot: Snapshot) -> None:
        found = await self.caller.places(list(snapshot.emails))
        places = {(place.mailbox_id, place.message_id): place for place in found.members}
        self._same("places", {(box, id_) for id_, (boxes, _) in snapshot.emails.items() for box in boxes}, set(places))
        assert len({(place.mailbox_id, place.uid) for place in found.members}) == len(places), "a UID names two mails"
        assert found.modseq >= self.modseq
        touched, then = self.account.touched, self.looked_at
        for (box, id_), place in places.items():
            before = self.places.get((box, id_))
            if before is not None and before.uid == place.uid:
                is_marked = touched.get(("labels", id_), 0) > then
                assert place.modseq >= before.modseq, "a change number went back"
                assert (place.modseq > self.modseq) == is_marked, (place, before, self.modseq)
                continue
            if before is not None:  # it left, and came back as another
                assert touched.get(("Email", id_), 0) > then, f"{place} has another UID than {before}"
            assert self.uid_next.get(box, 1) <= place.uid < found.uid_next[box], f"{place} is no new UID"
            assert place.modseq > self.modseq
        for box, uid_next in found.uid_next.items():
            assert uid_next >= self.uid_next.get(box, 1), "UIDNEXT went back"
        self.places, self.uid_next, self.modseq = places, found.uid_next, found.modseq

    def _same(self, what: str, expected: Any, found: Any) -> None:
        assert found == expected, f"{self.account.name}, {what}:\n  {_difference(expected, found)}"


def _difference(expected: Any, found: Any) -> str:
    """What is not the same, short."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        return "\n  ".join(f"{key}: expected {expected.get(key)}, found {found.get(key)}" for key in keys)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(one, other) for one, other in zip(expected, found, strict=True) if one != other]
        return "\n  ".join(f"expected {one}, found {other}" for one, other in pairs)
    return f"expected {expected}\n  found    {found}"
