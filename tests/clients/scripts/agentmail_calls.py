# ruff: noqa: PT017 - a script for the environment of a client, which has no pytest
"""Every call of this part with AgentMail's Python client 0.2 or 2.0, out of its own environment."""

import base64
import os
import smtplib
import urllib.request
from importlib.metadata import version

from agentmail import AgentMail
from agentmail.core.api_error import ApiError
from agentmail.environment import AgentMailEnvironment
from agentmail.errors import NotFoundError, ValidationError
from waiting import until

TWO = version("agentmail").startswith("2.")
server, name = os.environ["SERVER"], os.environ["NAME"]
client = AgentMail(
    environment=AgentMailEnvironment(http=server, websockets=server.replace("http", "ws")),
    api_key=os.environ["AGENTMAIL_API_KEY"],
)


# Inboxes
inbox = client.inboxes.create(request={"username": name, "display_name": "Bot", "client_id": name + "-1"})
assert inbox.inbox_id == f"{name}@agents.test" and inbox.display_name == "Bot", inbox
assert client.inboxes.create().inbox_id != inbox.inbox_id
assert client.inboxes.get(inbox.inbox_id).pod_id == inbox.pod_id
assert inbox.inbox_id in [found.inbox_id for found in client.inboxes.list(limit=100).inboxes]
assert client.inboxes.update(inbox.inbox_id, display_name="Robot").display_name == "Robot"
other = client.inboxes.create(request={"username": name + "-other"})

# Mail in
with smtplib.SMTP("127.0.0.1", int(os.environ["SMTP_PORT"])) as smtp:
    smtp.sendmail(
        "ann@elsewhere.example", [inbox.inbox_id],
        f"From: Ann <ann@elsewhere.example>\r\nTo: {inbox.inbox_id}\r\nCc: bob@far.example\r\nSubject: Question\r\n"
        "Message-ID: <CA+/x=1@h.example>\r\n\r\nWhat time is it?\r\n",
    )  # fmt: skip
messages = client.inboxes.messages
item = until(lambda: messages.list(inbox.inbox_id, labels=["received", "unread"]).messages, "the mail")[0]
message = messages.get(inbox.inbox_id, item.message_id)
assert message.text.strip() == "What time is it?" and message.from_ == "Ann <ann@elsewhere.example>", message
assert messages.get(inbox.inbox_id, "<CA+/x=1@h.example>").message_id == message.message_id
changed = messages.update(inbox.inbox_id, message.message_id, add_labels=["read", "vip"], remove_labels=["unread"])
assert set(changed.labels) == {"read", "received", "vip"}, changed

# Mail out
content = base64.b64encode(b"attached").decode()
sent = messages.send(
    inbox.inbox_id, to=[other.inbox_id], cc="cc@far.example", subject="Hello", text="Text", html="<p>Html</p>",
    labels=["mine"], attachments=[{"filename": "a.txt", "content": content, "content_type": "text/plain"}],
    headers={"X-Run": name},
)  # fmt: skip
got = until(lambda: messages.list(other.inbox_id).messages, "the mail at the other inbox")[0]
whole = messages.get(other.inbox_id, got.message_id)
assert whole.headers["X-Run"] == name and whole.subject == "Hello", whole
file = messages.get_attachment(other.inbox_id, got.message_id, whole.attachments[0].attachment_id)
assert urllib.request.urlopen(file.download_url).read() == b"attached"
raw = messages.get_raw(other.inbox_id, got.message_id)
raw = urllib.request.urlopen(raw.download_url).read() if TWO else b"".join(raw)
assert b"Subject: Hello" in raw
reply = messages.reply(inbox.inbox_id, message.message_id, text="Half past nine.")
assert reply.thread_id == message.thread_id
assert messages.get(inbox.inbox_id, reply.message_id).subject == "Re: Question"
everyone = messages.reply_all(inbox.inbox_id, message.message_id, text="To all.")
found = messages.get(inbox.inbox_id, everyone.message_id)
assert "bob@far.example" in (found.to or []) + (found.cc or []), found
forward = messages.forward(inbox.inbox_id, message.message_id, to=other.inbox_id, text="See below.")
assert messages.get(inbox.inbox_id, forward.message_id).subject == "Fwd: Question"

# Threads
threads = client.inboxes.threads
assert reply.thread_id in [thread.thread_id for thread in threads.list(inbox.inbox_id, limit=10).threads]
thread = threads.get(inbox.inbox_id, reply.thread_id)
assert thread.message_count == len(thread.messages) >= 3, thread
assert threads.get_attachment(other.inbox_id, whole.thread_id, whole.attachments[0].attachment_id).size == 8
first = messages.list(inbox.inbox_id, limit=1)
second = messages.list(inbox.inbox_id, limit=1, page_token=first.next_page_token)
assert first.messages[0].message_id != second.messages[0].message_id
if TWO:
    messages.delete(inbox.inbox_id, forward.message_id)
threads.delete(inbox.inbox_id, thread.thread_id)
try:
    threads.get(inbox.inbox_id, thread.thread_id)
    raise AssertionError("the thread is still there")
except NotFoundError as error:
    assert error.status_code == 404 and error.body.name == "NotFoundError", error

# Webhooks
hook = client.webhooks.create(url="https://a.example/hook", event_types=["message.received"], client_id=name)
assert hook.secret.startswith("whsec_") and hook.enabled is True
assert client.webhooks.get(hook.webhook_id).url == "https://a.example/hook"
assert hook.webhook_id in [found.webhook_id for found in client.webhooks.list(limit=100).webhooks]
assert client.webhooks.update(hook.webhook_id, add_inbox_ids=[inbox.inbox_id]).inbox_ids == [inbox.inbox_id]
client.webhooks.delete(hook.webhook_id)

# Errors
for call, kind, status in (
    (lambda: client.inboxes.get("nobody@agents.test"), NotFoundError, 404),
    (lambda: messages.send(inbox.inbox_id, to="no address", text="x"), ValidationError, 400),
    (lambda: client.inboxes.create(request={"username": name}), ApiError, 403),
    (lambda: messages.send(inbox.inbox_id, text="to nobody"), ApiError, 422),
):
    try:
        call()
    except kind as error:
        assert error.status_code == status, error
        assert getattr(error.body, "name", None) or error.body["name"], error
    else:
        raise AssertionError(f"{kind} was expected")
client.inboxes.delete(other.inbox_id)
try:
    client.inboxes.get(other.inbox_id)
    raise AssertionError("the inbox is still there")
except NotFoundError:
    pass
print("all calls made")
