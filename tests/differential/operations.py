"""The operations: what is asked of a door, and what the model says of it."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import format_datetime
from typing import Any

from differential.choosing import Op, bounces
from differential.doors import DOMAIN, Caller, RunningHouse
from differential.model import ANSWERED, DRAFT, FORWARDED, SEEN, Account, Arrival, Mail, Text, World
from posthouse.kit.clock import iso, parse_iso, to_datetime

_SHOWN = ["messageId", "threadId", "subject", "from", "to", "cc", "references", "receivedAt"]


# What is done to drafts alone, and what AgentMail does to messages, which are no drafts.
_OF_DRAFTS = ("draft_edit", "draft_send", "draft_delete", "post")
_OF_MESSAGES = ("reply", "forward", "label", "delete", "thread_delete")


class Gone(Exception):
    """What an operation names is no more, or not what it was: in a list from which something was left out."""


def _chain(parent: Text) -> tuple[str, ...]:
    """The References of an answer (RFC 5322 §3.6.4), 50 at most: the first, and the last ones."""
    ids = [each for each in parent.references if each != parent.message_id] + [str(parent.message_id)]
    return tuple(ids if len(ids) <= 50 else [ids[0], *ids[-49:]])


def _text_of(shown: dict[str, Any]) -> Text:
    """What a stored mail says of itself, as JMAP shows it."""
    to, cc = (tuple(each["email"] for each in shown[name] or ()) for name in ("to", "cc"))
    references = tuple(shown["references"] or ())
    return Text(shown["messageId"][0], shown["subject"] or "", shown["from"][0]["email"], to, references, cc)


class Operations:
    """Performs operations on a house and on its model, side by side."""

    def __init__(self, world: World, house: RunningHouse) -> None:
        self.world = world
        self.house = house
        # The Email state of each account up to which its new mails have been looked at.
        self._seen: dict[str, str] = {}

    async def begin(self) -> None:
        """Learn the mailboxes the accounts have from the first, and their states."""
        for name, caller in self.house.callers.items():
            account = self.world.accounts[name]
            for box in (await caller.jmap("Mailbox/get"))["list"]:
                account.add_box(box["id"], box["role"], box["name"], role=box["role"])
            self._seen[name] = (await caller.jmap("Email/get", ids=[]))["state"]

    # -- performing

    async def perform(self, op: Op) -> bool:
        """Do it, in the house and in the model; False when what it names is no more."""
        self.house.clock.forward(seconds=1)
        for account in self.world.accounts.values():
            account.tick = op["n"]
        try:
            await getattr(self, f"_do_{op['do']}")(self.world.accounts[op["who"]], self.house.callers[op["who"]], op)
        except Gone:
            return False
        return True

    def _mails(self, account: Account, op: Op) -> list[Mail]:
        """The mails an operation names."""
        try:
            mails = [account.mail(number) for number in op.get("mails", [op.get("mail")])]
        except KeyError as error:
            raise Gone from error
        do = op.get("do", "")
        if any(mail.is_draft != (do in _OF_DRAFTS) for mail in mails if do in _OF_DRAFTS + _OF_MESSAGES):
            raise Gone
        if do in ("reply", "draft_send", "post") and any(map(bounces, mails)):
            raise Gone
        return mails

    def _box_ids(self, account: Account, keys: Sequence[str]) -> set[str]:
        try:
            return {account.box(key) for key in keys}
        except KeyError as error:
            raise Gone from error

    def _addresses(self, op: Op) -> tuple[str, ...]:
        """Recipients by their short names; each that bounces is another one."""
        known = {name: account.address for name, account in self.world.accounts.items()}
        known["nobody"] = f"nobody{op['n']}@{DOMAIN}"
        return tuple(known.get(name, f"{name}@elsewhere.example") for name in op["to"])

    def _parent(self, account: Account, op: Op, name: str) -> Mail | None:
        as_if = "reply" if name in ("in_reply_to", "forward_of") else ""
        return self._mails(account, {"do": as_if, "mail": op[name]})[0] if name in op else None

    def _written(self, account: Account, op: Op, sender: str, to: tuple[str, ...], domain: str) -> Text:
        """A mail written elsewhere, or by a program of the account's own."""
        parent = self._parent(account, op, "answers")
        text = Text(f"m{op['n']}@{domain}", f"topic {op['n']}", sender, to)
        if parent is not None:
            text = text._replace(subject=f"Re: {parent.text.base[0]}", references=_chain(parent.text))
        if (same := self._parent(account, op, "subject")) is not None:
            text = text._replace(subject=f"Re: {same.text.base[0]}")
        if (copied := self._parent(account, op, "again")) is not None:
            text = text._replace(message_id=copied.text.message_id)
        return text

    def _bytes(self, text: Text) -> bytes:
        lines = [
            f"From: <{text.sender}>",
            f"To: {', '.join(text.to)}",
            f"Subject: {text.subject}",
            f"Date: {format_datetime(to_datetime(self.house.clock()))}",
            f"Message-ID: <{text.message_id}>",
            "Content-Type: text/plain; charset=us-ascii",
        ]
        if text.references:
            lines.append(f"In-Reply-To: <{text.references[-1]}>")
            lines.append("References: " + "\r\n ".join(f"<{each}>" for each in text.references))
        return "\r\n".join([*lines, "", "Some words.", ".and a line with a dot", ""]).encode()

    async def _fresh(self, caller: Caller, account: Account) -> dict[str, tuple[str, Text, int]]:
        """Mails the model does not have yet: id → thread, text, instant, in the order of their ids."""
        told, got = await caller.batch(
            ("Email/changes", {"sinceState": self._seen[account.name]}),
            (
                "Email/get",
                {"#ids": {"resultOf": "0", "name": "Email/changes", "path": "/created"}, "properties": _SHOWN},
            ),
        )
        assert "error" not in told and "error" not in got, (told, got)
        self._seen[account.name] = told["newState"]
        found = sorted((each for each in got["list"] if each["id"] not in account.mails), key=lambda each: each["id"])
        return {each["id"]: (each["threadId"], _text_of(each), parse_iso(each["receivedAt"])) for each in found}

    async def _only(self, caller: Caller, account: Account) -> tuple[str, str, Text]:
        """The one new mail: id, thread, text."""
        fresh = await self._fresh(caller, account)
        assert len(fresh) == 1, f"one new mail in {account.name}, not {fresh}"
        (id_, (thread, text, at)) = next(iter(fresh.items()))
        assert at == self.house.clock(), "a mail's instant is that of the house's clock"
        return id_, thread, text

    async def _sent(
        self, account: Account, caller: Caller, op: Op, sent: dict[str, str], expected: Text, labels: set[str],
        *, thread: str | None = None, answers: tuple[str, str] | None = None,
    ) -> None:  # fmt: skip
        """A mail that AgentMail says it has sent."""
        id_, found_thread, text = await self._only(caller, account)
        assert sent == {"message_id": f"msg_{id_}", "thread_id": f"thd_{found_thread}"}
        assert text == expected._replace(message_id=text.message_id), (text, expected)
        mail = account.file(
            id_,
            found_thread,
            text,
            {account.box("sent")},
            {SEEN, *labels},
            "out",
            self.house.clock(),
            known_thread=thread,
        )
        self.world.submit(account, mail, self.house.clock())
        account.mark_parent(answers)

    # SMTP

    async def _do_arrive(self, account: Account, caller: Caller, op: Op) -> None:
        text = self._written(account, op, f"{op['sender']}@elsewhere.example", self._addresses(op), "elsewhere.example")
        await self.house.smtp.send(text.sender, list(text.to), self._bytes(text))
        self.world.spool += [Arrival(name, text, self.house.clock()) for name in op["to"]]

    async def _do_submit(self, account: Account, caller: Caller, op: Op) -> None:
        written = self._written(account, op, account.address, self._addresses(op), DOMAIN)
        await caller.submit(list(written.to), self._bytes(written))
        id_, thread, text = await self._only(caller, account)
        assert text == written
        mail = account.file(id_, thread, text, {account.box("sent")}, {SEEN}, "out", self.house.clock())
        self.world.submit(account, mail, self.house.clock())

    # AgentMail

    async def _do_send(self, account: Account, caller: Caller, op: Op) -> None:
        to = self._addresses(op)
        body = {"to": list(to), "subject": f"topic {op['n']}", "text": "Hi.", "labels": op["labels"]}
        sent = await caller.agent("POST", "messages", body)
        expected = Text("", f"topic {op['n']}", account.address, to)
        await self._sent(account, caller, op, sent, expected, set(op["labels"]) - {"unread"})

    async def _do_reply(self, account: Account, caller: Caller, op: Op) -> None:
        parent = self._mails(account, op)[0]
        sent = await caller.agent("POST", f"messages/msg_{parent.id}/reply", {"text": "Yes.", "reply_all": op["all"]})
        is_own = parent.direction == "out"
        # Whoever writes to others and to herself answers the others.
        to = tuple(each for each in parent.text.to if each != account.address) or parent.text.to
        if not is_own:
            to = (parent.text.sender,)
        others = parent.text.cc if is_own else (*parent.text.to, *parent.text.cc)
        cc = tuple(each for each in dict.fromkeys(others) if op["all"] and each not in (account.address, *to))
        expected = Text("", _again("Re: ", parent.text), account.address, to, _chain(parent.text), cc)
        answers = (parent.id, ANSWERED)
        await self._sent(account, caller, op, sent, expected, set(), thread=parent.thread, answers=answers)

    async def _do_forward(self, account: Account, caller: Caller, op: Op) -> None:
        parent, to = self._mails(account, op)[0], self._addresses(op)
        sent = await caller.agent("POST", f"messages/msg_{parent.id}/forward", {"to": list(to), "text": "See."})
        expected = Text("", _again("Fwd: ", parent.text), account.address, to)
        await self._sent(account, caller, op, sent, expected, set(), answers=(parent.id, FORWARDED))

    async def _do_label(self, account: Account, caller: Caller, op: Op) -> None:
        mails = self._mails(account, op)
        body = {"add_labels": op["add"], "remove_labels": op["remove"]}
        if op["how"] == "thread":
            mails = [mail for mail in account.members(mails[0].thread) if not mail.is_draft]
        for mail in mails:
            account.patch(mail, op["add"], op["remove"])
        if op["how"] == "batch":
            ids = [f"msg_{mail.id}" for mail in mails]
            told = await caller.agent("POST", "messages/batch-update", {"message_ids": ids, **body})
            shown = {each["message_id"]: set(each["labels"]) for each in told["updates"]}
            assert shown == {f"msg_{mail.id}": account.labels(mail) for mail in mails}
        elif op["how"] == "thread":
            told = await caller.agent("PATCH", f"threads/thd_{mails[0].thread}", body)
            assert set(told["labels"]) == set[str]().union(*map(account.labels, mails))
        else:
            told = await caller.agent("PATCH", f"messages/msg_{mails[0].id}", body)
            assert set(told["labels"]) == account.labels(mails[0])

    async def _do_delete(self, account: Account, caller: Caller, op: Op) -> None:
        mail = self._mails(account, op)[0]
        await caller.agent("DELETE", f"messages/msg_{mail.id}")
        account.destroy(mail)

    async def _do_thread_delete(self, account: Account, caller: Caller, op: Op) -> None:
        thread = self._mails(account, op)[0].thread
        await caller.agent("DELETE", f"threads/thd_{thread}", permanent=str(op["permanent"]).lower())
        for mail in account.members(thread):
            if not mail.is_draft and op["permanent"]:
                account.destroy(mail)
            elif not mail.is_draft:
                account.move(mail, {account.box("trash")})

    async def _do_draft(self, account: Account, caller: Caller, op: Op) -> None:
        to, subject = self._addresses(op), f"topic {op['n']}"
        body: Op = {"to": list(to), "subject": subject, "text": "Dear all.", "labels": op["labels"]}
        expected = Text("", subject, account.address, to)
        answers, thread = None, None
        if (parent := self._parent(account, op, "in_reply_to")) is not None:
            del body["subject"]
            body["in_reply_to"] = f"msg_{parent.id}"
            expected = expected._replace(subject=_again("Re: ", parent.text), references=_chain(parent.text))
            answers, thread = (parent.id, ANSWERED), parent.thread
        if (parent := self._parent(account, op, "forward_of")) is not None:
            body["forward_of"] = f"msg_{parent.id}"
            answers = (parent.id, FORWARDED)
        made = await caller.agent("POST", "drafts", body)
        id_, found_thread, text = await self._only(caller, account)
        assert made["thread_id"] == f"thd_{found_thread}"
        assert text == expected._replace(message_id=text.message_id), (text, expected)
        account.file(
            id_, found_thread, text, {account.box("drafts")}, {SEEN, DRAFT, *op["labels"]}, "draft", self.house.clock(),
            known_thread=thread, answers=answers,
        )  # fmt: skip

    async def _draft_id(self, caller: Caller, mail: Mail) -> str:
        places = await caller.places([mail.id])
        return places.drafts[mail.id]

    async def _do_draft_edit(self, account: Account, caller: Caller, op: Op) -> None:
        mail = self._mails(account, op)[0]
        body: Op = {"add_labels": op["add"], "remove_labels": op["remove"]}
        if op["text"]:
            body["text"] = f"Dear {op['n']}."
        told = await caller.agent("PATCH", f"drafts/drf_{await self._draft_id(caller, mail)}", body)
        labels = (mail.labels | set(op["add"])) - set(op["remove"])
        if op["text"]:
            # A message never changes: the new text is another one, in the same thread and the same places.
            id_, thread, text = await self._only(caller, account)
            assert text == mail.text._replace(message_id=text.message_id, sender=account.address), (text, mail.text)
            edited = account.file(
                id_, thread, text, mail.boxes, labels | {SEEN}, "draft", self.house.clock(), known_thread=mail.thread,
                answers=mail.answers,
            )  # fmt: skip
            account.destroy(mail)
            mail = edited
        else:
            account.mark(mail, labels)
        assert set(told["labels"]) == {"draft", *(each for each in mail.labels if not each.startswith("$"))}

    async def _do_draft_send(self, account: Account, caller: Caller, op: Op) -> None:
        draft = self._mails(account, op)[0]
        path = f"drafts/drf_{await self._draft_id(caller, draft)}/send"
        sent = await caller.agent("POST", path, {"add_labels": op["add"]})
        labels = {label for label in draft.labels if not label.startswith("$")} | set(op["add"])
        expected = draft.text._replace(sender=account.address)
        await self._sent(account, caller, op, sent, expected, labels, thread=draft.thread, answers=draft.answers)
        account.destroy(draft)

    async def _do_draft_delete(self, account: Account, caller: Caller, op: Op) -> None:
        mail = self._mails(account, op)[0]
        await caller.agent("DELETE", f"drafts/drf_{await self._draft_id(caller, mail)}")
        account.destroy(mail)

    # JMAP

    async def _set(self, caller: Caller, kind: str, **args: Any) -> dict[str, Any]:
        """A `/set` all of which has to be done."""
        told = await caller.jmap(f"{kind}/set", **args)
        refused = [told.get(name) for name in ("error", "notCreated", "notUpdated", "notDestroyed")]
        assert not any(refused), (kind, args, told)
        assert set(told["updated"] or ()) == set(args.get("update", ())), told
        assert set(told["destroyed"] or ()) == set(args.get("destroy", ())), told
        return told

    async def _do_keywords(self, account: Account, caller: Caller, op: Op) -> None:
        mails = self._mails(account, op)
        if "replace" in op:
            patch: Op = {"keywords": dict.fromkeys(op["replace"], True)}
        else:
            patch = {f"keywords/{each}": True if on else None for each, on in op["patch"].items()}
        await self._set(caller, "Email", update={mail.id: patch for mail in mails})
        for mail in mails:
            wanted = set(op["replace"]) if "replace" in op else set(mail.keywords)
            for each, on in op.get("patch", {}).items():
                (wanted.add if on else wanted.discard)(each)
            self._say(account, mail, wanted)

    def _say(self, account: Account, mail: Mail, wanted: set[str]) -> None:
        """JMAP's keywords become these; labels it cannot say stay, and so does the case of the others."""
        was_draft = mail.is_draft
        kept = {label for label in mail.labels if label.lower() in wanted or label.lower() not in mail.keywords}
        account.mark(mail, kept | (wanted - {label.lower() for label in kept}))
        if mail.is_draft and not was_draft:
            parent = account.parent_of(mail.text)
            mail.answers = (parent, ANSWERED) if parent else None
        elif was_draft and not mail.is_draft:
            mail.answers = None
            mail.direction = "out" if mail.direction == "draft" else mail.direction

    async def _do_move(self, account: Account, caller: Caller, op: Op) -> None:
        mails = self._mails(account, op)
        boxes = self._box_ids(account, op.get("replace") or op["add"])
        if "replace" in op:
            update: Op = {mail.id: {"mailboxIds": dict.fromkeys(boxes, True)} for mail in mails}
        else:  # into these, out of the one it lies in
            update = {
                mail.id: {f"mailboxIds/{min(mail.boxes)}": None, **{f"mailboxIds/{box}": True for box in boxes}}
                for mail in mails
            }
        await self._set(caller, "Email", update=update)
        for mail in mails:
            account.move(mail, boxes if "replace" in op else mail.boxes - {min(mail.boxes)} | boxes)

    def _filed(self, account: Account, id_: str, thread: str, text: Text, op: Op, at: int) -> None:
        """A mail that JMAP was given to keep."""
        boxes, keywords = self._box_ids(account, op["boxes"]), set(op["keywords"])
        is_draft = DRAFT in keywords
        direction = "draft" if is_draft else "out" if account.box("sent") in boxes else "in"
        mail = account.file(id_, thread, text, boxes, keywords, direction, at)
        parent = account.parent_of(text) if is_draft else None
        mail.answers = (parent, ANSWERED) if parent else None

    def _email(self, account: Account, op: Op, text: Text) -> Op:
        return {
            "mailboxIds": dict.fromkeys(self._box_ids(account, op["boxes"]), True),
            "keywords": dict.fromkeys(op.get("keywords", ()), True),
            "from": [{"email": text.sender}],
            "to": [{"email": each} for each in text.to],
            "subject": text.subject,
            "messageId": [text.message_id],
            "textBody": [{"partId": "t", "type": "text/plain"}],
            "bodyValues": {"t": {"value": "Good day.\n"}},
            **({"references": text.references, "inReplyTo": text.references[-1:]} if text.references else {}),
        }

    async def _do_create(self, account: Account, caller: Caller, op: Op) -> None:
        text = self._written(account, op, account.address, self._addresses(op), DOMAIN)
        at = self.house.clock() - 1_000 * op["ago"]
        email = self._email(account, op, text) | {"receivedAt": iso(at)}
        made = (await self._set(caller, "Email", create={"a": email}))["created"]["a"]
        self._filed(account, made["id"], made["threadId"], text, op, at)

    async def _do_import_(self, account: Account, caller: Caller, op: Op) -> None:
        if op["of"]:
            of = self._mails(account, {"mail": op["of"]})[0]
            text = of.text
            got = await caller.jmap("Email/get", ids=[of.id], properties=["blobId"])
            blob_id = got["list"][0]["blobId"]
        else:
            text = self._written(account, op, "dora@elsewhere.example", (account.address,), "elsewhere.example")
            blob_id = await caller.upload(self._bytes(text))
        at = self.house.clock() - 1_000 * op["ago"]
        email = {
            "blobId": blob_id,
            "mailboxIds": dict.fromkeys(self._box_ids(account, op["boxes"]), True),
            "keywords": dict.fromkeys(op["keywords"], True),
            "receivedAt": iso(at),
        }
        told = await caller.jmap("Email/import", emails={"a": email})
        assert told["created"], told
        made = told["created"]["a"]
        self._filed(account, made["id"], made["threadId"], text, op, at)

    async def _do_destroy(self, account: Account, caller: Caller, op: Op) -> None:
        mails = self._mails(account, op)
        await self._set(caller, "Email", destroy=[mail.id for mail in mails])
        for mail in mails:
            account.destroy(mail)

    async def _do_fleeting(self, account: Account, caller: Caller, op: Op) -> None:
        """Made and destroyed in one call: nothing of it stays, and nobody is told, but that the mailboxes moved."""
        text = Text(f"m{op['n']}@{DOMAIN}", f"topic {op['n']}", account.address, (account.address,))
        told = await caller.jmap("Email/set", create={"a": self._email(account, op, text)}, destroy=["#a"])
        assert told["destroyed"] == [told["created"]["a"]["id"]], told
        for box in self._box_ids(account, op["boxes"]):
            account.touch("Mailbox", box)

    async def _do_box_create(self, account: Account, caller: Caller, op: Op) -> None:
        name = f"box {op['n']}"
        parent = next(iter(self._box_ids(account, [op["under"]] if op["under"] else [])), None)
        told = await self._set(caller, "Mailbox", create={"a": {"name": name, "parentId": parent}})
        account.add_box(told["created"]["a"]["id"], name, name, parent=parent)

    async def _do_box_change(self, account: Account, caller: Caller, op: Op) -> None:
        box, *_ = self._box_ids(account, [op["box"]])
        parent = next(iter(self._box_ids(account, [op["under"]] if op["under"] else [])), None)
        name = f"renamed {op['n']}"
        await self._set(caller, "Mailbox", update={box: {"name": name, "parentId": parent}})
        account.change_box(box, name=name, parent=parent)

    async def _do_box_destroy(self, account: Account, caller: Caller, op: Op) -> None:
        box, *_ = self._box_ids(account, [op["box"]])
        if any(other.parent == box for other in account.boxes.values()):
            told = await caller.jmap("Mailbox/set", destroy=[box], onDestroyRemoveEmails=True)
            assert told["notDestroyed"][box]["type"] == "mailboxHasChild"
            return
        if account.counts(box).emails:
            told = await caller.jmap("Mailbox/set", destroy=[box])
            assert told["notDestroyed"][box]["type"] == "mailboxHasEmail"
        await self._set(caller, "Mailbox", destroy=[box], onDestroyRemoveEmails=True)
        account.destroy_box(box)

    async def _do_post(self, account: Account, caller: Caller, op: Op) -> None:
        """A draft is sent by JMAP: the caller says what becomes of it, or leaves that to the server."""
        mail = self._mails(account, op)[0]
        drafts, sent = account.box("drafts"), account.box("sent")
        held = {"parameters": {"HOLDFOR": str(op["hold"])}} if op["hold"] else {}
        envelope = {
            "mailFrom": {"email": account.address, **held},
            "rcptTo": [{"email": each} for each in sorted(mail.text.readers)],
        }
        patch = {f"mailboxIds/{drafts}": None, f"mailboxIds/{sent}": True, "keywords/$draft": None}
        extra = {"onSuccessUpdateEmail": {"#s": patch}} if op["patches"] else {}
        create = {"s": {"emailId": mail.id, "envelope": envelope}}
        made = (await self._set(caller, "EmailSubmission", create=create, **extra))["created"]["s"]
        mail.direction, mail.answers = "out", None
        now = self.house.clock()
        self.world.submit(account, mail, now + 1_000 * op["hold"], made["id"], now)
        if op["patches"]:
            account.mark(mail, mail.labels - {DRAFT})
        else:
            account.mark(mail, mail.labels - {DRAFT} | {SEEN})
        if op["hold"]:  # in Drafts until it leaves
            account.move(mail, mail.boxes - {drafts, account.box("inbox")} | {drafts})
        elif op["patches"]:
            account.move(mail, mail.boxes - {drafts} | {sent})
        else:
            account.move(mail, mail.boxes - {drafts, account.box("inbox")} | {sent})

    async def _do_cancel(self, account: Account, caller: Caller, op: Op) -> None:
        mail = self._mails(account, op)[0]
        out = next((each for each in self.world.held(account, self.house.clock()) if each.mail_id == mail.id), None)
        if out is None:
            raise Gone
        await self._set(caller, "EmailSubmission", update={out.submission_id: {"undoStatus": "canceled"}})
        self.world.queue.remove(out)
        account.set_delivery(mail, "canceled")
        account.mark(mail, mail.labels | {DRAFT})
        account.move(mail, mail.boxes - {account.box("sent")} | {account.box("drafts")})
        parent = account.parent_of(mail.text)
        mail.direction, mail.answers = "draft", (parent, ANSWERED) if parent else None

    async def _do_refused(self, account: Account, caller: Caller, op: Op) -> None:
        """What must not be done is refused, and changes nothing; what stands beside it in the call is done."""
        mail = self._mails(account, op)[0]
        calls: dict[str, tuple[str, Op, str]] = {
            "stale": ("Email/set", {"destroy": [mail.id], "ifInState": "0"}, "stateMismatch"),
            "nowhere": ("Email/set", {"update": {mail.id: {"mailboxIds": {}}}}, "invalidProperties"),
            "elsewhere": ("Email/set", {"update": {mail.id: {"mailboxIds/none": True, "keywords/x": True}}}, "invalidProperties"),
            "no_keyword": ("Email/set", {"update": {mail.id: {"keywords/two words": True}}}, "invalidProperties"),
            "half": ("Email/set", {"update": {mail.id: {"keywords/x": True}, "none": {"keywords/x": True}}}, "notFound"),
            "box": ("Mailbox/set", {"destroy": [account.box("junk")], "onDestroyRemoveEmails": True}, "forbidden"),
            "name": ("Mailbox/set", {"create": {"a": {"name": account.boxes[account.box("sent")].name}}}, "alreadyExists"),
        }  # fmt: skip
        name, args, why = calls[op["kind"]]
        told = await caller.jmap(name, **args)
        errors = [told["error"]] if "error" in told else []
        for each in ("notCreated", "notUpdated", "notDestroyed"):
            errors += (told.get(each) or {}).values()
        assert [error["type"] for error in errors] == [why], told
        if op["kind"] == "half":
            assert mail.id in told["updated"]
            self._say(account, mail, mail.keywords | {"x"})

    # the house

    async def _do_settle(self, account: Account, caller: Caller, op: Op) -> None:
        """All mail is filed and carried."""
        expected = self.world.carry(self.house.clock())
        await self.house.house.settle()
        for name in sorted({arrival.name for arrival in expected}):
            await self._arrived(self.world.accounts[name], self.house.callers[name], [
                (arrival.text, arrival.at) for arrival in expected if arrival.name == name
            ])  # fmt: skip

    async def _arrived(self, account: Account, caller: Caller, expected: list[tuple[Text, int]]) -> None:
        fresh = await self._fresh(caller, account)
        inbox = account.box("inbox")
        # In the order they were filed, which is that of their UIDs: who came first decides on threads.
        uids = {p.message_id: p.uid for p in (await caller.places(list(fresh))).members if p.mailbox_id == inbox}
        for id_ in sorted(fresh, key=lambda each: uids[each]):
            thread, text, at = fresh[id_]
            found = next((each for each in expected if _is_of(text, at, *each)), None)
            assert found is not None, f"{account.name}: {text} came, {expected} was expected"
            expected.remove(found)
            account.file(id_, thread, text, {inbox}, (), "in", at)
        assert not expected, f"{account.name}: {expected} never came"

    async def _do_restart(self, account: Account, caller: Caller, op: Op) -> None:
        await self.house.close()
        await self.house.open()

    async def _do_wait(self, account: Account, caller: Caller, op: Op) -> None:
        self.house.clock.forward(hours=op["hours"])


def _again(mark: str, text: Text) -> str:
    """The subject of an answer or a forward: its mark once in front, the rest as it was."""
    subject = text.subject
    while subject.lower().startswith(mark.lower()):
        subject = subject[len(mark) :]
    return mark + subject


def _is_of(text: Text, at: int, expected: Text, expected_at: int) -> bool:
    """Whether a mail that came is the one that was expected; of a report only the reader and the mail are known."""
    if expected.message_id is None:
        expected = expected._replace(message_id=text.message_id, subject=text.subject, sender=text.sender)
    return (text, at) == (expected, expected_at)
