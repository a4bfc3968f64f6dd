"""A mailbox read, a mail sent and its arrival heard of with jmapc, which speaks https only."""

import os
import tempfile
import threading
from pathlib import Path

from jmapc import (
    Client,
    Comparator,
    Email,
    EmailAddress,
    EmailBodyPart,
    EmailBodyValue,
    EmailHeader,
    EmailQueryFilterCondition,
    EmailSubmission,
    Envelope,
    Error,
    MailboxQueryFilterCondition,
    Ref,
)
from jmapc.methods import (
    CoreEcho,
    EmailChanges,
    EmailGet,
    EmailQuery,
    EmailQueryChanges,
    EmailSet,
    EmailSubmissionGet,
    EmailSubmissionQuery,
    EmailSubmissionSet,
    IdentityGet,
    MailboxChanges,
    MailboxGet,
    MailboxQuery,
    MailboxSet,
    SearchSnippetGet,
    ThreadChanges,
    ThreadGet,
)
from jmapc.models import Address, Mailbox
from waiting import until

host = os.environ["SERVER"].removeprefix("https://")
mine, theirs = os.environ["SENDER"], os.environ["RECEIVER"]
client = Client.create_with_api_token(host, os.environ["SENDER_KEY"])
other = Client.create_with_password(host, theirs, os.environ["RECEIVER_KEY"])


def ask(method, by=client):
    """The answer, which is no error."""
    return by.request(method, raise_errors=True, single_response=True)


def box(by, role):
    """The id of the mailbox with a role, by query and a reference to its answer."""
    found = by.request(
        [MailboxQuery(filter=MailboxQueryFilterCondition(role=role)), MailboxGet(ids=Ref("/ids"))], raise_errors=True
    )
    return found[1].response.data[0].id


# Who we are
assert ask(CoreEcho(data={"hello": "there"})).data == {"hello": "there"}
assert client.jmap_session.username == mine
(identity,) = [each for each in ask(IdentityGet(ids=None)).data if each.email == mine]
drafts, sent = box(client, "drafts"), box(client, "sent")
inbox = box(other, "inbox")
state = ask(EmailGet(ids=[]), other).state
threads = ask(ThreadGet(ids=[]), other).state

# A folder
made = ask(MailboxSet(create={"m": Mailbox(name="Filed")}))
folder = made.created["m"].id
assert folder in ask(MailboxChanges(since_state=made.old_state)).created

# What is pushed, heard on a connection of its own
heard = []


def listen():
    """Collect what the event source tells until the mail's state has come."""
    events = Client.create_with_password(host, theirs, os.environ["RECEIVER_KEY"])
    listening.set()
    for event in events.events:
        heard.extend(change for change in event.data.changed.values() if change.email)
        if heard:
            return


listening = threading.Event()
listener = threading.Thread(target=listen, daemon=True)
listener.start()
assert listening.wait(10)

# A draft with a file, sent
with tempfile.TemporaryDirectory() as name:
    path = Path(name) / "note.txt"
    path.write_text("attached\n")
    blob = client.upload_blob(path)
assert (blob.size, blob.type) == (9, "text/plain")
email = Email(
    mail_from=[EmailAddress(name="Sender", email=mine)],
    to=[EmailAddress(name="Receiver", email=theirs)],
    subject="Through jmapc",
    keywords={"$draft": True},
    mailbox_ids={drafts: True},
    body_values={"body": EmailBodyValue(value="Found by every word.\n")},
    text_body=[EmailBodyPart(part_id="body", type="text/plain")],
    attachments=[EmailBodyPart(blob_id=blob.id, name="note.txt", type="text/plain", disposition="attachment")],
    headers=[EmailHeader(name="X-Run", value="jmapc")],
)
results = client.request(
    [
        EmailSet(create={"draft": email}),
        EmailSubmissionSet(
            create={
                "send": EmailSubmission(
                    email_id="#draft",
                    identity_id=identity.id,
                    envelope=Envelope(mail_from=Address(email=mine), rcpt_to=[Address(email=theirs)]),
                )
            },
            on_success_update_email={
                "#send": {f"mailboxIds/{drafts}": None, f"mailboxIds/{sent}": True, "keywords/$draft": None}
            },
        ),
    ],
    raise_errors=True,
)
draft = results[0].response.created["draft"]
submission = results[1].response.created["send"]
assert ask(EmailSubmissionGet(ids=[submission.id])).data[0].email_id == draft.id
assert submission.id in ask(EmailSubmissionQuery()).ids
(filed,) = ask(EmailGet(ids=[draft.id])).data
assert filed.mailbox_ids == {sent: True} and "$draft" not in filed.keywords, filed


# At the other end
def arrived():
    """The other's answers, once the mail is among them."""
    found = other.request(
        [
            EmailQuery(
                filter=EmailQueryFilterCondition(in_mailbox=inbox, text="every word"),
                sort=[Comparator(property="receivedAt", is_ascending=False)],
                limit=5,
            ),
            EmailGet(ids=Ref("/ids"), fetch_all_body_values=True),
        ],
        raise_errors=True,
    )
    return found if found[1].response.data else None


found = until(arrived, "the mail")
query, (got,) = found[0].response, found[1].response.data
assert got.subject == "Through jmapc" and got.mail_from[0].name == "Sender", got
assert got.body_values[got.text_body[0].part_id].value.strip() == "Found by every word."
listener.join(10)
assert heard, "the event source told nothing"

with tempfile.TemporaryDirectory() as name:
    path = Path(name) / "note.txt"
    other.download_attachment(got.attachments[0], path)
    assert path.read_text() == "attached\n"
snippets = ask(SearchSnippetGet(ids=[got.id], filter=EmailQueryFilterCondition(text="every word")), other).data
assert "<mark>" in (snippets[0].preview or "") + (snippets[0].subject or ""), snippets

# What changed
changes = ask(EmailChanges(since_state=state), other)
assert changes.created == [got.id], changes
assert ask(ThreadChanges(since_state=threads), other).created == [got.thread_id]
assert ask(ThreadGet(ids=[got.thread_id]), other).data[0].email_ids == [got.id]
ask(EmailSet(update={got.id: {"keywords/$seen": True}}), other)
assert ask(EmailChanges(since_state=changes.new_state), other).updated == [got.id]
ask(EmailSet(destroy=[got.id]), other)
gone = other.request(
    EmailQueryChanges(
        since_query_state=query.query_state, filter=EmailQueryFilterCondition(in_mailbox=inbox, text="every word")
    )
)
assert isinstance(gone, Error) or got.id in gone.removed, gone
assert ask(EmailGet(ids=[got.id]), other).not_found == [got.id]
assert isinstance(other.request(EmailChanges(since_state="x")), Error)
print("all calls made")
