"""The sample as AgentMail's documents have it, with the server's address through the client's own argument."""

import os

from agentmail import AgentMail
from agentmail.environment import AgentMailEnvironment

server = os.environ["SERVER"]
client = AgentMail(
    api_key=os.getenv("AGENTMAIL_API_KEY"), environment=AgentMailEnvironment(http=server, websockets=server)
)

# All operations return structured objects
inbox = client.inboxes.create(username="my-agent")
message = client.inboxes.messages.send(
    inbox_id=inbox.inbox_id,
    to="user@example.com",
    subject="Hello",
    text="Message body"
)  # fmt: skip

found = client.inboxes.messages.get(inbox_id=inbox.inbox_id, message_id=message.message_id)
assert (found.subject, found.to) == ("Hello", ["user@example.com"]), found
print(found.text)
