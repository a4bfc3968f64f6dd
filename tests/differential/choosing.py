"""Which operation comes next: chosen by a seeded generator among what can be done now.

An operation is a small dictionary that survives JSON. It names mails by their numbers and mailboxes by their keys, so
that a list of operations can be run again, and still means something when some of it is left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from differential.model import Account, Mail, World

Op = dict[str, Any]
Wanted = Callable[[Mail], bool]

# How often each is chosen, in relation to the others; each is a method of `Choices`.
_WEIGHTS = {
    "arrive": 12, "submit": 3, "send": 5, "reply": 4, "forward": 2, "label": 12, "delete": 2, "thread_delete": 1,
    "draft": 3, "draft_edit": 4, "draft_send": 2, "draft_delete": 1, "keywords": 10, "move": 10, "create": 4,
    "import_": 4, "destroy": 3, "fleeting": 1, "box_create": 3, "box_change": 2, "box_destroy": 2, "post": 3,
    "cancel": 2, "refused": 3, "settle": 14, "restart": 0.3, "wait": 0.6,
}  # fmt: skip

STRANGERS = ("carl", "dora", "emil")
_LABELS = ("read", "unread", "starred", "trash", "trash", "spam", "Urgent", "two words", "x", "größer")
_KEYWORDS = ("$seen", "$flagged", "$answered", "$junk", "$notjunk", "urgent", "x")
# Above this an account's mails are more often destroyed than made.
_PLENTY = 40


def everything(mail: Mail) -> bool:
    """Any mail."""
    return True


def bounces(mail: Mail) -> bool:
    """Whether it names an address that bounces, and is suppressed from then on."""
    return any(address.startswith("nobody") for address in mail.text.readers)


class Choices:
    """Chooses operations; `choose` adds who does it, and a number that makes what it names unique."""

    def __init__(self, world: World, clock: Callable[[], int], chance: random.Random) -> None:
        self._world = world
        self._clock = clock
        self._chance = chance

    def choose(self, step: int) -> Op:
        """An operation that can be done now."""
        while True:
            name = self._chance.choice(sorted(self._world.accounts))
            account = self._world.accounts[name]
            if len(account.mails) > _PLENTY and self._chance.random() < 0.5:
                do = self._chance.choice(["destroy", "thread_delete", "delete"])
            else:
                do = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            more = getattr(self, do)(account)
            if more is not None:
                return {"do": do, "who": name, "n": step, **more}

    def _pick(self, account: Account, wanted: Wanted = everything) -> int:
        """A mail's number, 0 when there is none."""
        numbers = [mail.number for mail in account.mails.values() if wanted(mail)]
        return self._chance.choice(sorted(numbers)) if numbers else 0

    def _some(self, account: Account, most: int, wanted: Wanted = everything) -> list[int]:
        """Numbers of one to so many mails; none when there are none."""
        numbers = sorted(mail.number for mail in account.mails.values() if wanted(mail))
        return self._chance.sample(numbers, min(len(numbers), self._chance.randint(1, most)))

    def _recipients(self, *, may_bounce: bool = False) -> list[str]:
        if may_bounce and self._chance.random() < 0.1:
            return ["nobody"]
        return self._chance.sample([*self._world.accounts, *STRANGERS], self._chance.choice([1, 1, 2]))

    def _boxes(self, account: Account) -> list[str]:
        keys = sorted(box.key for box in account.boxes.values())
        return sorted(self._chance.sample(keys, min(len(keys), self._chance.choice([1, 1, 1, 2, 3]))))

    def arrive(self, account: Account) -> Op:
        kind = self._chance.choice(["new", "new", "answers", "answers", "subject", "again"])
        of = self._pick(account)
        return {
            "to": sorted(self._chance.sample(sorted(self._world.accounts), self._chance.choice([1, 1, 2]))),
            "sender": self._chance.choice(STRANGERS),
            **({kind: of} if kind != "new" and of else {}),
        }

    def submit(self, account: Account) -> Op:
        of = self._pick(account)
        answers = {"answers": of} if of and self._chance.random() < 0.5 else {}
        return {"to": self._recipients(may_bounce=True), **answers}

    def send(self, account: Account) -> Op:
        labels = self._chance.sample(["Urgent", "two words", "x", "unread"], self._chance.choice([0, 0, 1, 2]))
        return {"to": self._recipients(may_bounce=True), "labels": labels}

    def reply(self, account: Account) -> Op | None:
        of = self._pick(account, lambda mail: not mail.is_draft and not bounces(mail))
        return {"mail": of, "all": self._chance.random() < 0.3} if of else None

    def forward(self, account: Account) -> Op | None:
        of = self._pick(account, lambda mail: not mail.is_draft)
        return {"mail": of, "to": self._recipients()} if of else None

    def label(self, account: Account) -> Op | None:
        mails = self._some(account, 5, lambda mail: not mail.is_draft)
        add, remove = (self._chance.sample(_LABELS, self._chance.choice([0, 1, 1, 2])) for _ in range(2))
        aside = self._some(account, 5, lambda mail: not mail.is_draft and bool(account.roles(mail) & {"trash", "junk"}))
        if aside and self._chance.random() < 0.4:  # what was thrown away comes back
            mails, add, remove = aside, [], self._chance.sample(["trash", "spam"], self._chance.choice([1, 2]))
        how = self._chance.choice(["one", "one", "batch", "thread"])
        named = mails if how == "batch" else mails[:1]
        return {"mails": named, "how": how, "add": add, "remove": remove} if named else None

    def delete(self, account: Account) -> Op | None:
        of = self._pick(account, lambda mail: not mail.is_draft)
        return {"mail": of} if of else None

    def thread_delete(self, account: Account) -> Op | None:
        of = self.delete(account)
        return of and {**of, "permanent": self._chance.random() < 0.5}

    def draft(self, account: Account) -> Op:
        kind = self._chance.choice(["new", "in_reply_to", "forward_of"])
        of = self._pick(account, lambda mail: not mail.is_draft and not bounces(mail))
        labels = self._chance.sample(["Urgent", "two words"], self._chance.choice([0, 1]))
        return {"to": self._recipients(), "labels": labels, **({kind: of} if kind != "new" and of else {})}

    def draft_edit(self, account: Account) -> Op | None:
        of = self._pick(account, lambda mail: mail.is_draft)
        add, remove = (self._chance.sample(["Urgent", "two words", "x"], self._chance.choice([0, 1])) for _ in range(2))
        return {"mail": of, "add": add, "remove": remove, "text": self._chance.random() < 0.6} if of else None

    def draft_send(self, account: Account) -> Op | None:
        of = self._pick(account, lambda mail: mail.is_draft and not bounces(mail))
        return {"mail": of, "add": self._chance.sample(["x", "y"], self._chance.choice([0, 1]))} if of else None

    def draft_delete(self, account: Account) -> Op | None:
        of = self._pick(account, lambda mail: mail.is_draft)
        return {"mail": of} if of else None

    def keywords(self, account: Account) -> Op | None:
        mails = self._some(account, 4)
        if not mails:
            return None
        if self._chance.random() < 0.3:
            return {"mails": mails, "replace": self._chance.sample(_KEYWORDS, self._chance.randint(0, 3))}
        known = (*_KEYWORDS, "$draft") if self._chance.random() < 0.2 else _KEYWORDS
        return {"mails": mails, "patch": {each: self._chance.random() < 0.6 for each in self._chance.sample(known, 2)}}

    def move(self, account: Account) -> Op | None:
        mails = self._some(account, 4)
        if not mails:
            return None
        boxes = self._boxes(account)
        return {"mails": mails, ("replace" if self._chance.random() < 0.7 else "add"): boxes}

    def create(self, account: Account) -> Op:
        is_draft = self._chance.random() < 0.7
        of = self._pick(account)
        return {
            "boxes": ["drafts"] if is_draft and self._chance.random() < 0.7 else self._boxes(account),
            "keywords": [
                *self._chance.sample(_KEYWORDS, self._chance.choice([0, 1, 2])),
                *(["$draft"] if is_draft else []),
            ],
            "to": self._recipients(),
            "ago": self._chance.choice([0, 0, 60, 86_400, 40 * 86_400]),
            **({"answers": of} if of and self._chance.random() < 0.4 else {}),
        }

    def import_(self, account: Account) -> Op:
        more = self.create(account)
        more["of"] = self._pick(account) if self._chance.random() < 0.6 else 0
        return more

    def destroy(self, account: Account) -> Op | None:
        mails = self._some(account, 6 if len(account.mails) > _PLENTY else 2)
        return {"mails": mails} if mails else None

    def fleeting(self, account: Account) -> Op:
        return {"boxes": self._boxes(account)}

    def box_create(self, account: Account) -> Op | None:
        under = self._chance.choice(
            ["", "", *sorted(box.key for box in account.boxes.values() if box.role != "junk" and not box.parent)]
        )
        return {"under": under} if len(account.boxes) < 12 else None

    def box_change(self, account: Account) -> Op | None:
        own = sorted(box.key for box in account.boxes.values() if box.role is None)
        if not own:
            return None
        return {"box": self._chance.choice(own), "under": self._chance.choice(["", "inbox", "archive"])}

    def box_destroy(self, account: Account) -> Op | None:
        own = sorted(box.key for box in account.boxes.values() if box.role is None)
        return {"box": self._chance.choice(own)} if own else None

    def post(self, account: Account) -> Op | None:
        of = self._pick(account, lambda m: m.is_draft and m.text.sender == account.address and not bounces(m))
        hold = self._chance.choice([0, 0, 600, 7_200])
        return {"mail": of, "patches": self._chance.random() < 0.5, "hold": hold} if of else None

    def cancel(self, account: Account) -> Op | None:
        waiting = {each.mail_id for each in self._world.held(account, self._clock() + 1_000)}
        of = self._pick(account, lambda mail: mail.id in waiting)
        return {"mail": of} if of else None

    def refused(self, account: Account) -> Op | None:
        of = self._pick(account)
        kinds = ["stale", "nowhere", "elsewhere", "no_keyword", "half", "box", "name"]
        return {"mail": of, "kind": self._chance.choice(kinds)} if of else None

    def settle(self, account: Account) -> Op:
        return {}

    def restart(self, account: Account) -> Op:
        return {}

    def wait(self, account: Account) -> Op:
        return {"hours": self._chance.choice([1, 1, 3, 24, 20 * 24])}
