# ruff: noqa: PT017 - a script for the environment of a client, which has no pytest
"""Every tool of AgentMail's toolkit, called the way one framework calls it; a table of what came of each."""

import asyncio
import base64
import json
import os
from types import SimpleNamespace

import pymupdf
from agentmail import AgentMail
from agentmail.core.api_error import ApiError
from agentmail.environment import AgentMailEnvironment
from agentmail.errors import ConflictError
from waiting import until

server, name, framework = os.environ["SERVER"], os.environ["NAME"], os.environ["FRAMEWORK"]
environment = AgentMailEnvironment(http=server, websockets=server.replace("http", "ws"))
owner = AgentMail(environment=environment, api_key=os.environ["AGENTMAIL_API_KEY"])
table = {}


def plain(client):
    """The toolkit itself: keyword arguments, the client's own models."""
    from agentmail_toolkit import AgentMailToolkit

    tools = {tool.name: tool for tool in AgentMailToolkit(client).get_tools()}
    return tools, lambda tool, arguments: tool.func(**arguments)


def langchain(client):
    """LangChain: arguments go through the tool's schema; an error is a text."""
    from agentmail_toolkit.langchain import AgentMailToolkit

    tools = {tool.name: tool for tool in AgentMailToolkit(client).get_tools()}

    def invoke(tool, arguments):
        answer = tool.invoke(arguments)
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    return tools, invoke


def openai(client):
    """OpenAI's agents: a JSON text in, a JSON text out."""
    from agentmail_toolkit.openai import AgentMailToolkit

    tools = {tool.name: tool for tool in AgentMailToolkit(client).get_tools()}
    return tools, lambda tool, arguments: read(asyncio.run(tool.on_invoke_tool(None, json.dumps(arguments))))


def livekit(client):
    """LiveKit: a mapping in, a JSON text out, in a session that speaks meanwhile."""
    from agentmail_toolkit.livekit import AgentMailToolkit

    tools = {tool.info.name: tool for tool in AgentMailToolkit(client).get_tools()}

    async def reply(**_words):
        return None

    context = SimpleNamespace(session=SimpleNamespace(generate_reply=reply))
    return tools, lambda tool, arguments: read(asyncio.run(tool(raw_arguments=arguments, context=context)))


def read(text):
    """A tool's JSON as something with attributes."""
    return None if text == "OK" else json.loads(text, object_hook=lambda found: SimpleNamespace(**found))


make = {"plain": plain, "langchain": langchain, "openai": openai, "livekit": livekit}[framework]
TOOLS, invoke = make(owner)


def call(tool, tools=None, by=None, /, **arguments):
    """Use a tool."""
    answer = (by or invoke)((tools or TOOLS)[tool], arguments)
    table[tool] = "ok"
    return answer


# Inboxes
mine = call("create_inbox", username=name, display_name="Bot").inbox_id
mate = call("create_inbox", username=name + "-mate").inbox_id
assert call("get_inbox", inbox_id=mine).display_name == "Bot"
page = call("list_inboxes", limit=1)
assert page.count == 1 and page.next_page_token
assert call("list_inboxes", limit=1, page_token=page.next_page_token).count == 1

# Out, in, and back
document = pymupdf.open()
document.new_page().insert_text((72, 72), "Due on Friday")
pdf = {"filename": "bill.pdf", "content": base64.b64encode(document.tobytes()).decode()}
sent = call("send_message", inbox_id=mine, to=[mate], cc=["c@far.example"], subject="Bill", text="See the file.",
            html="<p>See the file.</p>", labels=["bills"], attachments=[pdf])  # fmt: skip
assert sent.message_id and sent.thread_id
(thread,) = until(lambda: call("list_threads", inbox_id=mate, labels=["unread"], limit=5).threads, "the mail")
assert thread.subject == "Bill"
# Of the frameworks only LangChain makes a date of a text; with the others the toolkit fails before it calls.
since = {"after": "2026-01-01T00:00:00Z"} if framework == "langchain" else {}
assert call("list_threads", inbox_id=mine, labels=["bills"], ascending=True, **since).count == 1
(message,) = call("get_thread", inbox_id=mate, thread_id=thread.thread_id).messages
assert message.text.strip() == "See the file." and message.labels.count("unread") == 1, message
(part,) = message.attachments
attachment = call("get_attachment", inbox_id=mate, thread_id=thread.thread_id, attachment_id=part.attachment_id)
assert attachment.download_url.startswith("https://"), attachment
assert "Due on Friday" in (getattr(attachment, "text", None) or ""), attachment
changed = call("update_message", inbox_id=mate, message_id=message.message_id, add_labels=["paid"],
               remove_labels=["unread"])  # fmt: skip
assert "paid" in changed.labels and "unread" not in changed.labels, changed
replied = call("reply_to_message", inbox_id=mate, message_id=message.message_id, text="Paid.", reply_all=True)
assert replied.thread_id == thread.thread_id
answer = until(lambda: owner.inboxes.messages.list(mine, labels=["received"]).messages, "the answer")[0]
assert answer.thread_id == sent.thread_id and answer.subject == "Re: Bill", answer
forwarded = call("forward_message", inbox_id=mate, message_id=message.message_id, to=[mine], text="Yours.")
assert forwarded.message_id != message.message_id

# The human behind an agent
signed = owner.agent.sign_up(username=name + "-agent")
lonely = AgentMail(environment=environment, api_key=signed.api_key)
theirs, by = make(lonely)
human = f"{name}@far.example"
operator = os.environ["OPERATOR"]
try:
    lonely.inboxes.messages.send(signed.inbox_id, to=[human], text="Are you mine?")
except ApiError as error:
    assert error.status_code == 403, error
else:
    raise AssertionError("an agent without a human wrote to somebody")
assert call("agent_attach_human", theirs, by, human_email=human).human_email == human


def mailed():
    """The mail with the code, which the operator's inbox catches."""
    found = owner.inboxes.messages.list(operator, labels=["received"], limit=100).messages
    return [each for each in found if signed.inbox_id in (each.subject or "")]


letter = owner.inboxes.messages.get(operator, until(mailed, "the code")[0].message_id)
assert lonely.inboxes.messages.send(signed.inbox_id, to=[human], text="What is the code?").message_id
assert call("agent_verify", theirs, by, otp_code=letter.text.split("The code is ", 1)[1][:6]).verified
try:
    lonely.agent.attach_human(human_email=human)
except ConflictError as error:
    assert error.status_code == 409, error
else:
    raise AssertionError("a verified organisation took another human")

# Refusals come as the API's own sentence
try:
    invoke(TOOLS["get_inbox"], {"inbox_id": "nobody@far.example"})
except Exception as error:
    assert "no such inbox" in str(error), error
else:
    raise AssertionError("an inbox that is not there was found")
call("delete_inbox", inbox_id=mate)
assert sorted(table) == sorted(TOOLS), set(TOOLS) ^ set(table)
print(json.dumps(table))
