# ruff: noqa: PT017 - a script for the environment of a client, which has no pytest
"""Atomic Mail's LangChain tools and the client bundled with them: signed up, written, read, answered, renewed."""

import json
import os
import tempfile
from pathlib import Path

from atomicmail.help import HELP_TOPIC_LIST
from atomicmail.session import create_agent_session
from atomicmail.shared_assets import shared_dir
from langchain_atomicmail import AtomicMailToolkit
from waiting import until

name = os.environ["NAME"]
home = Path(tempfile.mkdtemp())
TOOLS = {tool.name: tool for tool in AtomicMailToolkit().get_tools()}
used = set()


def folder(who):
    """Where an agent keeps its credentials."""
    return str(home / who)


def register(who, username):
    """Sign up with a puzzle; the tool's answer."""
    used.add("register")
    return json.loads(TOOLS["register"].invoke({"username": username, "credentials_dir": folder(who)}))


def ask(who, preset="", **more):
    """The answers to a preset of the client's, or to `ops`, by call id."""
    used.add("jmap_request")
    arguments = {"credentials_dir": folder(who)} | ({"ops_file": preset} if preset else {}) | more
    answer = json.loads(TOOLS["jmap_request"].invoke(arguments))
    for method, body, call_id in answer["methodResponses"]:
        assert method != "error", (preset, call_id, body)
        refused = {key: body[key] for key in ("notCreated", "notUpdated", "notDestroyed") if body.get(key)}
        assert not refused, (preset, call_id, refused)
    return {call_id: body for _method, body, call_id in answer["methodResponses"]}


def arrived(who, subject):
    """The mail with this subject, once the preset that lists the inbox tells of it."""

    def look():
        listed = ask(who, "list_inbox.json")["g0"]["list"]
        return next((email for email in listed if email["subject"] == subject), None)

    return until(look, repr(subject))


# Signing up; the same name again is no second sign-up
ann, bob = register("ann", f"ann{name}"), register("bob", f"bob{name}")
assert ann["inbox"].startswith(f"ann{name}@") and ann["apiKey"] and ann["accountId"]
assert register("ann", f"ann{name}")["idempotent"]
try:
    register("carl", f"ann{name}")
except Exception as error:
    assert "apiKey" not in str(error), error
else:
    raise AssertionError("a name was given twice")

# Every preset it comes with
presets = {path.name for path in (Path(str(shared_dir())) / "presets").glob("*.json")}
file = home / "note.txt"
file.write_text("attached\n")
variables = {"TO": bob["inbox"], "SUBJECT": "Hello", "BODY": "From one stranger to another."}
ask("ann", "send_mail.json", vars=variables)
hello = arrived("bob", "Hello")
assert hello["from"][0]["email"] == ann["inbox"], hello
assert [each["subject"] for each in ask("ann", "list_sent.json")["g0"]["list"]] == ["Hello"]
ask("bob", "reply.json", vars={"MAIL_ID": hello["id"], "BODY": "And back."})
reply = arrived("ann", "Re: Hello")
(sent,) = ask("ann", "list_sent.json")["g0"]["list"]
assert reply["threadId"] == sent["threadId"], "the answer is in the thread of what it answers"
inline = {"ATTACHMENT_BASE64": "YXR0YWNoZWQK", "ATTACHMENT_TYPE": "text/plain", "ATTACHMENT_NAME": "note.txt"}
ask("ann", "send_mail_attachment.json", vars=variables | inline | {"SUBJECT": "Inline"})
uploaded = [{"path": str(file)}]
ask("ann", "send_mail_blob_attachment.json", vars=variables | {"SUBJECT": "Uploaded"}, attachments=uploaded)
for subject in ("Inline", "Uploaded"):
    get = {"accountId": "$ACCOUNT_ID", "ids": [arrived("bob", subject)["id"]], "properties": ["attachments"]}
    (found,) = ask("bob", ops=json.dumps({"methodCalls": [["Email/get", get, "g"]]}))["g"]["list"]
    assert found["attachments"][0]["size"] == 9, (subject, found)
assert presets == {
    "list_inbox.json", "list_sent.json", "reply.json", "send_mail.json", "send_mail_attachment.json",
    "send_mail_blob_attachment.json",
}, presets  # fmt: skip

# With the key alone, as on another machine
session = create_agent_session(credentials_dir=folder("dan"))
again = session.login_with_api_key(ann["apiKey"])
assert (again.inbox, again.accountId) == (ann["inbox"], ann["accountId"])

# What the tools say of themselves
for topic in (None, *HELP_TOPIC_LIST, "readme"):
    used.add("help")
    assert TOOLS["help"].invoke({"topic": topic} if topic else {})
assert used == set(TOOLS), set(TOOLS) - used
print("all tools used")
