"""What accounts should hold: the specification the doors are compared with, in dictionaries and sets.

Nothing here comes from the package under test, apart from the ids the server gives. What happens to mail is told in
four verbs, as `Account.file`, `mark`, `move` and `destroy`; whatever a door shows is derived from the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

SEEN, DRAFT, FLAGGED, ANSWERED, FORWARDED = "$seen", "$draft", "$flagged", "$answered", "$forwarded"
JUNKED, NOT_JUNK = "$junk", "$notjunk"
DAY_MS = 86_400_000
# A label with other characters cannot be said in JMAP (RFC 8621 §4.1.1).
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}")
_REPLY = re.compile(r"(?:(?:re|fwd): *)+")


class Text(NamedTuple):
    """What a mail says of itself: what threads go by, and who is on it.

    Attributes:
        message_id: without brackets; None where the server makes it and it is not known yet.
        references: the conversation so far, the parent last; empty for a first mail.
    """

    message_id: str | None
    subject: str
    sender: str
    to: tuple[str, ...]
    references: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()

    @property
    def readers(self) -> set[str]:
        """Everyone it goes to."""
        return {*self.to, *self.cc}

    @property
    def people(self) -> set[str]:
        """Everyone on it."""
        return {self.sender, *self.readers}

    @property
    def base(self) -> tuple[str, bool]:
        """The subject without its marks of replies and forwards, and whether there were any."""
        text = self.subject.lower()
        found = _REPLY.match(text)
        return (text[found.end() :], True) if found else (text, False)


@dataclass(slots=True)
class Mail:
    """A message in an account.

    Attributes:
        number: what a list of operations names it by: 3201 is the first mail that operation 32 brought its account.
        labels: its keywords as they are stored.
        direction: `in`, `out` or `draft`.
        delivery: of one sent from here, what its deliveries amount to.
        origin: the mailbox it lay in before it was thrown away.
        answers: of a draft, the mail it is an answer to or passes on, and how that mail is marked when it is sent.
    """

    id: str
    number: int
    thread: str
    text: Text
    boxes: set[str]
    labels: set[str]
    direction: str
    received_at: int
    delivery: str | None = None
    origin: str | None = None
    answers: tuple[str, str] | None = None

    @property
    def is_draft(self) -> bool:
        """Whether it is still being written."""
        return DRAFT in self.labels

    @property
    def is_unread(self) -> bool:
        """RFC 8621 §2, `unreadEmails`."""
        return not self.labels & {SEEN, DRAFT}

    @property
    def keywords(self) -> set[str]:
        """Its labels as JMAP says them."""
        return {label.lower() for label in self.labels if _KEYWORD.fullmatch(label)}


@dataclass(slots=True)
class Box:
    """A mailbox. `key` never changes: its role, or the name it was made with."""

    id: str
    key: str
    name: str
    parent: str | None = None
    role: str | None = None


class Counts(NamedTuple):
    """What RFC 8621 §2 counts of a mailbox."""

    emails: int
    unread: int
    threads: int
    unread_threads: int


@dataclass(slots=True)
class Snapshot:
    """All that JMAP shows of an account at one moment; `tick` is when."""

    tick: int
    emails: dict[str, tuple[frozenset[str], frozenset[str]]]
    mailboxes: dict[str, tuple[str, str | None, Counts]]
    threads: dict[str, tuple[str, ...]]

    def of(self, kind: str) -> Mapping[str, object]:
        """The objects of one of JMAP's types."""
        kinds: dict[str, Mapping[str, object]] = {
            "Email": self.emails, "Mailbox": self.mailboxes, "Thread": self.threads,
        }  # fmt: skip
        return kinds[kind]


@dataclass(slots=True)
class Account:
    """One account.

    Attributes:
        tick: the number of the operation that is being done.
        numbers: the last one given to a mail.
        names: Message-IDs, of mails and of those they name, and the thread each leads to.
        bases: the base subject of each thread.
        touched: (type, id) → the tick at which something of it last changed, whether it shows or not.
    """

    name: str
    address: str
    tick: int = 0
    mails: dict[str, Mail] = field(default_factory=dict)
    boxes: dict[str, Box] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    touched: dict[tuple[str, str], int] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)
    numbers: int = 0

    # -- what is there

    def box(self, key: str) -> str:
        """The id of a mailbox. Raises `KeyError` when it is gone."""
        for box in self.boxes.values():
            if box.key == key:
                return box.id
        raise KeyError(key)

    def mail(self, number: int) -> Mail:
        """A mail by its number. Raises `KeyError` when it is gone."""
        for mail in self.mails.values():
            if mail.number == number:
                return mail
        raise KeyError(number)

    def members(self, thread: str) -> list[Mail]:
        """A thread's mails, oldest first."""
        return sorted((m for m in self.mails.values() if m.thread == thread), key=lambda m: (m.received_at, m.id))

    def newest_first(self, wanted: Callable[[Mail], bool] = lambda mail: True) -> list[Mail]:
        """Mails in the order of every list."""
        return sorted(filter(wanted, self.mails.values()), key=lambda m: (m.received_at, m.id), reverse=True)

    def roles(self, mail: Mail) -> set[str]:
        """The roles of the mailboxes it lies in."""
        return {role for role in (self.boxes[box].role for box in mail.boxes) if role}

    def counts(self, box: str) -> Counts:
        """A mailbox's counts: a mail in the trash makes its thread unread there alone, and no other does there."""
        trash = self.box("trash")
        here = [mail for mail in self.mails.values() if box in mail.boxes]
        threads = {mail.thread for mail in here}
        unread = {
            mail.thread
            for mail in self.mails.values()
            if mail.is_unread and (trash in mail.boxes if box == trash else mail.boxes - {trash})
        }
        return Counts(len(here), sum(mail.is_unread for mail in here), len(threads), len(threads & unread))

    def snapshot(self) -> Snapshot:
        """Everything, as it is now."""
        threads = {thread: tuple(mail.id for mail in self.members(thread)) for thread in self.bases}
        return Snapshot(
            self.tick,
            {mail.id: (frozenset(mail.boxes), frozenset(mail.keywords)) for mail in self.mails.values()},
            {box.id: (box.name, box.parent, self.counts(box.id)) for box in self.boxes.values()},
            threads,
        )

    # -- threads

    def join(self, text: Text, received_at: int, thread: str | None = None) -> str | None:
        """The thread a mail joins: the one it is known to belong to, the last it names, or one of its subject.

        A subject alone joins where it is marked as an answer, somebody else is on both, and the thread moved within
        thirty days. None: a thread of its own.
        """
        if thread in self.bases:
            return thread
        for named in reversed([text.message_id, *text.references]):
            if named in self.names:
                return self.names[named]
        base, is_answer = text.base
        candidates = [
            (self.members(each)[-1].received_at, each) for each, subject in self.bases.items() if subject == base
        ]
        for moved_at, each in sorted(candidates, reverse=True):
            people = set[str]().union(*(mail.text.people for mail in self.members(each)))
            if is_answer and moved_at >= received_at - 30 * DAY_MS and (people & text.people) - {self.address}:
                return each
        return None

    # -- what happens to mail

    def file(
        self, id_: str, thread: str, text: Text, boxes: Iterable[str], labels: Iterable[str], direction: str, at: int,
        *, known_thread: str | None = None, answers: tuple[str, str] | None = None,
    ) -> Mail:  # fmt: skip
        """A mail comes, under the ids the server gave it; its thread is checked by the rule.

        Args:
            known_thread: the thread it belongs to whatever it says.
        """
        expected = self.join(text, at, known_thread)
        assert thread == expected or (expected is None and thread not in self.ever), (
            f"{self.name}: {text} joined {thread}, not {expected or 'a new thread'}"
        )
        assert id_ not in self.ever, f"the id {id_} came again"
        self.ever |= {id_, thread}
        self.numbers = max(self.numbers, 100 * self.tick) + 1
        self.bases.setdefault(thread, text.base[0])
        for named in (text.message_id, *text.references):
            if named is not None:
                self.names.setdefault(named, thread)
        labels, places = set(labels), set(boxes)
        if JUNKED in labels:
            places = {self.box("junk")}
        if self.box("junk") in places:
            labels = (labels | {JUNKED}) - {NOT_JUNK}
        mail = Mail(id_, self.numbers, thread, text, places, labels, direction, at, answers=answers)
        self.mails[id_] = mail
        self.touch("Thread", thread)
        self._touch_boxes(mail)
        return mail

    def mark(self, mail: Mail, labels: Collection[str]) -> None:
        """Its labels become these; `$junk` and the junk mailbox follow each other."""
        labels, before, box = set(labels), set(mail.labels), self.box("junk")
        came = JUNKED in labels - before
        if NOT_JUNK in labels - before:
            labels -= set() if came else {JUNKED}
        gone = not came and bool({JUNKED} & (before - labels) or {NOT_JUNK} & (labels - before))
        self._label(mail, labels - {NOT_JUNK} if came else labels)
        if came and box not in mail.boxes:
            self._place(mail, {box})
        elif gone and box in mail.boxes:
            self.take_from(mail, {"junk"})

    def _label(self, mail: Mail, labels: Collection[str]) -> None:
        if set(labels) != mail.labels:
            self.touch("Email", mail.id)
            self.touch("labels", mail.id)
            was_unread, mail.labels = mail.is_unread, set(labels)
            if was_unread != mail.is_unread:
                self._touch_boxes(mail)

    def move(self, mail: Mail, boxes: Collection[str]) -> None:
        """It lies in these mailboxes from now on. Where a mail comes from that goes to trash or junk is remembered."""
        was_junk = self.box("junk") in mail.boxes
        self._place(mail, boxes)
        is_junk = self.box("junk") in mail.boxes
        if is_junk and not was_junk:
            self._label(mail, (mail.labels | {JUNKED}) - {NOT_JUNK})
        elif was_junk and not is_junk:
            self._label(mail, mail.labels - {JUNKED})

    def _place(self, mail: Mail, boxes: Collection[str]) -> None:
        if set(boxes) == mail.boxes:
            return
        aside = {self.box("trash"), self.box("junk")}
        self.touch("Email", mail.id)
        self._touch_boxes(mail)
        if aside & set(boxes):
            mail.origin = min(mail.boxes - aside, default=mail.origin)
        else:
            mail.origin = None
        mail.boxes = set(boxes)
        self._touch_boxes(mail)

    def take_from(self, mail: Mail, roles: Collection[str]) -> None:
        """It leaves trash or junk: it stays where it also lies, else goes where it came from."""
        gone = {box for box in mail.boxes if self.boxes[box].role in roles}
        if gone:
            home = {"in": "inbox", "out": "sent", "draft": "drafts"}[mail.direction]
            origin = mail.origin if mail.origin in self.boxes else self.box(home)
            self.move(mail, mail.boxes - gone or {origin})

    def set_delivery(self, mail: Mail, state: str) -> None:
        """What its deliveries amount to now."""
        mail.delivery = state
        self.touch("Email", mail.id)

    def destroy(self, mail: Mail) -> None:
        """It is no more; a thread ends with its last mail, and with it what was known by its Message-IDs."""
        self._touch_boxes(mail)
        self.touch("Thread", mail.thread)
        del self.mails[mail.id]
        if not self.members(mail.thread):
            del self.bases[mail.thread]
            self.names = {name: thread for name, thread in self.names.items() if thread != mail.thread}

    def add_box(self, id_: str, key: str, name: str, *, parent: str | None = None, role: str | None = None) -> None:
        """A mailbox is made."""
        assert id_ not in self.ever, f"the id {id_} came again"
        self.ever.add(id_)
        self.boxes[id_] = Box(id_, key, name, parent, role)

    def destroy_box(self, box: str) -> None:
        """A mailbox goes with what lies nowhere else."""
        for mail in [mail for mail in self.mails.values() if box in mail.boxes]:
            if mail.boxes == {box}:
                self.destroy(mail)
            else:
                self.move(mail, mail.boxes - {box})
        del self.boxes[box]

    def change_box(self, box: str, *, name: str, parent: str | None) -> None:
        """A mailbox gets another name or place."""
        self.boxes[box].name, self.boxes[box].parent = name, parent
        self.touch("Mailbox", box)

    def touch(self, kind: str, id_: str) -> None:
        """Something happens to it at this tick."""
        self.touched[kind, id_] = self.tick

    def _touch_boxes(self, mail: Mail) -> None:
        """Where the mails of its thread lie, threads are counted anew."""
        for box in set[str]().union(mail.boxes, *(other.boxes for other in self.members(mail.thread))):
            self.touch("Mailbox", box)

    # -- AgentMail's words

    def labels(self, mail: Mail) -> set[str]:
        """A message's labels as AgentMail shows them."""
        roles = self.roles(mail)
        found = {label for label in mail.labels if not label.startswith("$")}
        if mail.direction == "in":
            found |= {"received", "read" if SEEN in mail.labels else "unread"}
        elif mail.is_draft:
            found.add("draft")
        elif mail.delivery not in ("canceled", "scheduled"):
            found.add("sent")
        found |= {word for word in ("delivered", "bounced", "scheduled") if mail.delivery == word}
        found |= {word for word, role in (("spam", "junk"), ("trash", "trash")) if role in roles}
        return found | ({"starred"} if FLAGGED in mail.labels else set())

    def patch(self, mail: Mail, add: Collection[str], remove: Collection[str]) -> None:
        """Labels are added and removed; one that is in both is removed."""
        added = set(add) - set(remove)
        words = {"read": SEEN, "starred": FLAGGED}
        on = {words.get(label, label) for label in added} | ({SEEN} if "unread" in remove else set())
        off = {words.get(label, label) for label in remove} | ({SEEN} if "unread" in added else set())
        places = {"trash", "spam", "unread"}
        self.mark(mail, (mail.labels | (on - places)) - (off - places))
        if added & {"trash", "spam"}:
            self.move(mail, {self.box("trash" if "trash" in added else "junk")})
        else:
            self.take_from(mail, {role for word, role in (("trash", "trash"), ("spam", "junk")) if word in remove})

    # -- sending

    def parent_of(self, text: Text) -> str | None:
        """The mail a text answers, where it is here."""
        named = text.references[-1:]
        return min((mail.id for mail in self.mails.values() if mail.text.message_id in named), default=None)

    def mark_parent(self, answers: tuple[str, str] | None) -> None:
        """A mail that was answered or passed on is marked so."""
        parent = self.mails.get(answers[0]) if answers else None
        if parent is not None and answers is not None:
            self.mark(parent, parent.labels | {answers[1]})


@dataclass(slots=True)
class Outgoing:
    """A mail on its way: from whom, of which message, to whom, and not before when."""

    sender: str
    mail_id: str
    text: Text
    recipients: frozenset[str]
    due_at: int
    submission_id: str = ""


class Arrival(NamedTuple):
    """A mail about to be filed: in whose account, what it says, when it was handed over."""

    name: str
    text: Text
    at: int


@dataclass(slots=True)
class World:
    """All accounts, the mail taken in and not filed yet, and the mail on its way out."""

    accounts: dict[str, Account] = field(default_factory=dict)
    spool: list[Arrival] = field(default_factory=list)
    queue: list[Outgoing] = field(default_factory=list)

    def submit(self, account: Account, mail: Mail, due_at: int, submission_id: str = "", at: int = 0) -> None:
        """A mail begins its way to everyone it names, or waits for its time to."""
        account.set_delivery(mail, "scheduled" if submission_id and due_at > at else "queued")
        self.queue.append(
            Outgoing(account.name, mail.id, mail.text, frozenset(mail.text.readers), due_at, submission_id)
        )

    def held(self, account: Account, at: int) -> list[Outgoing]:
        """What an account has handed over to be sent later, and can still take back."""
        return [each for each in self.queue if each.sender == account.name and each.due_at > at]

    def carry(self, at: int) -> list[Arrival]:
        """What is due arrives, or comes back as a report of which only its reader and its thread are known."""
        by_address = {account.address: account.name for account in self.accounts.values()}
        reached, self.spool = self.spool, []
        due = [each for each in self.queue if each.due_at <= at]
        self.queue = [each for each in self.queue if each.due_at > at]
        for out in due:
            sender = self.accounts[out.sender]
            mail = sender.mails.get(out.mail_id)
            if mail is not None and mail.delivery == "scheduled":
                sender.set_delivery(mail, "queued")
                if sender.box("drafts") in mail.boxes:
                    sender.move(mail, mail.boxes - {sender.box("drafts")} | {sender.box("sent")})
            is_refused = any(recipient.startswith("nobody") for recipient in out.recipients)
            reached += [Arrival(by_address[each], out.text, at) for each in out.recipients if each in by_address]
            if is_refused:
                report = Text(None, "", "", (sender.address,), (str(out.text.message_id),))
                reached.append(Arrival(sender.name, report, at))
            if out.mail_id in sender.mails:
                sender.set_delivery(sender.mails[out.mail_id], "bounced" if is_refused else "delivered")
        return reached
