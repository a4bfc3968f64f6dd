"""Random operations through JMAP and through the door mail comes in by, against a simple model."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from api.jmap.conftest import Agent, Clock, mail

STEPS = 60


@dataclass
class Model:
    """What an account should hold: message → (mailboxes, keywords, thread), and what a client has followed."""

    places: dict[str, set[str]] = field(default_factory=dict)
    keywords: dict[str, set[str]] = field(default_factory=dict)
    threads: dict[str, str] = field(default_factory=dict)

    def forget(self, id_: str) -> None:
        for each in (self.places, self.keywords, self.threads):
            each.pop(id_)  # type: ignore[attr-defined]

    def unread(self, id_: str) -> bool:
        return not self.keywords[id_] & {"$seen", "$draft"}

    def counts(self, box: str, trash: str) -> tuple[int, int, int, int]:
        """totalEmails, unreadEmails, totalThreads, unreadThreads of a mailbox."""
        here = [id_ for id_, boxes in self.places.items() if box in boxes]
        threads = {self.threads[id_] for id_ in here}
        others = [
            id_ for id_, boxes in self.places.items() if ((trash in boxes) if box == trash else bool(boxes - {trash}))
        ]
        unread = {self.threads[id_] for id_ in others if self.unread(id_)}
        return len(here), sum(map(self.unread, here)), len(threads), len(threads & unread)


class Follower:
    """A client that keeps its copy by `/changes` and `/queryChanges` alone."""

    def __init__(self, agent: Agent, box: str, *, collapse: bool) -> None:
        self.agent = agent
        self.asked: dict[str, Any] = {
            "filter": {"inMailbox": box},
            "sort": [{"property": "receivedAt", "isAscending": False}],
            "collapseThreads": collapse,
        }
        self.ids: list[str] = []
        self.known: set[str] = set()
        self.state = self.query_state = ""

    async def start(self) -> None:
        answer = await self.agent.call("Email/query", **self.asked)
        self.ids, self.query_state = answer["ids"], answer["queryState"]
        self.known = set((await self.agent.call("Email/query"))["ids"])
        self.state = (await self.agent.call("Email/get", ids=[]))["state"]

    async def follow(self, limit: int) -> None:
        while True:
            part = await self.agent.call("Email/changes", sinceState=self.state, maxChanges=limit)
            assert len(part["created"]) + len(part["updated"]) + len(part["destroyed"]) <= limit
            assert not set(part["created"]) & self.known
            assert set(part["updated"]) | set(part["destroyed"]) <= self.known | set(part["created"])
            self.known = (self.known | set(part["created"])) - set(part["destroyed"])
            self.state = part["newState"]
            if not part["hasMoreChanges"]:
                break
        told = await self.agent.call("Email/queryChanges", sinceQueryState=self.query_state, **self.asked)
        gone = set(told["removed"])
        self.ids = [id_ for id_ in self.ids if id_ not in gone]
        for added in told["added"]:
            self.ids.insert(added["index"], added["id"])
        self.query_state = told["newQueryState"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_states_counts_and_results_agree_with_a_simple_model(ann: Agent, clock: Clock, seed: int) -> None:
    chance = random.Random(seed)
    model = Model()
    boxes = [ann.boxes[role] for role in ("inbox", "archive", "trash", "drafts", "sent")]
    followers = [Follower(ann, ann.boxes["inbox"], collapse=collapse) for collapse in (False, True)]
    for follower in followers:
        await follower.start()
    sent = 0

    async def learn() -> None:
        """New messages, as the server files them."""
        listed = (await ann.call("Email/query"))["ids"]
        fresh = [id_ for id_ in listed if id_ not in model.places]
        names = ["threadId", "mailboxIds", "keywords"]
        for each in (await ann.call("Email/get", ids=fresh, properties=names))["list"]:
            model.places[each["id"]] = set(each["mailboxIds"])
            model.keywords[each["id"]] = set(each["keywords"])
            model.threads[each["id"]] = each["threadId"]

    for step in range(STEPS):
        clock.at += 1_000
        ids = sorted(model.places)
        action = chance.choice(["in", "in", "reply", "keyword", "keyword", "move", "move", "destroy", "draft", "many"])
        if action in ("in", "reply") or not ids:
            sent += 1
            parent = chance.randrange(sent) if action == "reply" else sent
            extra = f"Message-ID: <{sent}@x>" + (f"\r\nIn-Reply-To: <{parent}@x>" if parent != sent else "")
            await ann.receive(mail(f"topic {sent}", extra=extra))
            await learn()
        elif action == "draft":
            await ann.draft(subject=f"draft {step}")
            await learn()
        elif action == "destroy":
            id_ = chance.choice(ids)
            assert (await ann.call("Email/set", destroy=[id_]))["destroyed"] == [id_]
            model.forget(id_)
        elif action == "keyword":
            id_, keyword, on = chance.choice(ids), chance.choice(["$seen", "$flagged", "x"]), chance.random() < 0.6
            await ann.call("Email/set", update={id_: {f"keywords/{keyword}": True if on else None}})
            (model.keywords[id_].add if on else model.keywords[id_].discard)(keyword)
        elif action == "move":
            id_, target = chance.choice(ids), set(chance.sample(boxes, chance.choice([1, 1, 2])))
            await ann.call("Email/set", update={id_: {"mailboxIds": dict.fromkeys(target, True)}})
            model.places[id_] = target
        else:
            some = chance.sample(ids, min(len(ids), 6))
            await ann.call("Email/set", update={id_: {"keywords/$seen": True} for id_ in some})
            for id_ in some:
                model.keywords[id_].add("$seen")
        if step % 5 == 4:
            shown = {each["id"]: each for each in (await ann.call("Mailbox/get"))["list"]}
            for box in boxes:
                counted = tuple(shown[box][n] for n in ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads"))
                assert counted == model.counts(box, ann.boxes["trash"]), (step, box)
            for follower in followers:
                await follower.follow(chance.choice([1, 3, 100]))
                assert follower.known == set(model.places), step
                assert follower.ids == (await ann.call("Email/query", **follower.asked))["ids"], step
            found = (await ann.call("Email/get", ids=sorted(model.places), properties=["mailboxIds", "keywords"]))[
                "list"
            ]
            assert {each["id"]: set(each["mailboxIds"]) for each in found} == model.places
            assert {each["id"]: set(each["keywords"]) for each in found} == model.keywords
