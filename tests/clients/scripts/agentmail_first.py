"""The calls that AgentMail's Python client had in version 0.1."""

import os

from agentmail import AgentMail
from agentmail.environment import AgentMailEnvironment
from agentmail.errors import NotFoundError

server, name = os.environ["SERVER"], os.environ["NAME"]
client = AgentMail(
    api_key=os.environ["AGENTMAIL_API_KEY"], environment=AgentMailEnvironment(http=server, websockets=server)
)
inbox = client.inboxes.create(request={"username": name})
assert client.inboxes.get(inbox.inbox_id).inbox_id == f"{name}@agents.test"
sent = client.inboxes.messages.send(inbox.inbox_id, to="bob@far.example", subject="Hello", text="Hi.")
message = client.inboxes.messages.get(inbox.inbox_id, sent.message_id)
assert message.subject == "Hello" and "sent" in message.labels, message
assert b"Subject: Hello" in b"".join(client.inboxes.messages.get_raw(inbox.inbox_id, sent.message_id))
reply = client.inboxes.messages.reply(inbox.inbox_id, sent.message_id, to=["bob@far.example"], text="Again.")
assert reply.thread_id == sent.thread_id
labels = client.inboxes.messages.update(inbox.inbox_id, sent.message_id, add_labels=["vip"]).labels
assert "vip" in labels, labels
assert client.inboxes.messages.list(inbox.inbox_id).count == 2
assert len(client.inboxes.threads.get(inbox.inbox_id, sent.thread_id).messages) == 2
assert client.inboxes.threads.list(inbox.inbox_id).count == 1
hook = client.webhooks.create(url="https://a.example/hook", event_types=["message.received"])
assert hook.webhook_id in [found.webhook_id for found in client.webhooks.list().webhooks]
client.webhooks.delete(hook.webhook_id)
client.inboxes.delete(inbox.inbox_id)
try:
    client.inboxes.get(inbox.inbox_id)
    raise AssertionError("the inbox is still there")
except NotFoundError:
    print("all calls made")
