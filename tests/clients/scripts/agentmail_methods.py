"""Every method of AgentMail's Python client 0.2 or 2.0, called at least once; a table of what came of each."""

import inspect
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from agentmail import AgentMail
from agentmail.core.api_error import ApiError
from agentmail.environment import AgentMailEnvironment
from waiting import until

TWO = version("agentmail").startswith("2.")
server, name = os.environ["SERVER"], os.environ["NAME"]
environment = AgentMailEnvironment(http=server, websockets=server.replace("http", "ws"))
client = AgentMail(environment=environment, api_key=os.environ["AGENTMAIL_API_KEY"])

# Parts of the service that this server does not have: each call finds nothing there.
ABSENT = (
    "accounts.", "apps.", "organizations.get_labs", "organizations.join_labs", "domains.get_setup_link", "pods.domains.get_setup_link",
    "inboxes.accounts.", "pods.accounts.", "inboxes.calendar.", "pods.calendar.", "inboxes.files.", "files.",
    "inboxes.authorize", "inboxes.messages.create_agent_armor_feedback",
    "inboxes.messages.release_agent_armor_message", "webhooks.polling.", "pods.webhooks.polling.",
    "inboxes.webhooks.polling.", "metrics.query_rates", "pods.metrics.query_rates", "inboxes.metrics.query_rates",
)  # fmt: skip
table = {}


def methods_of(thing, prefix=""):
    """The names of all methods below a client."""
    for attribute in sorted(dir(type(thing))):
        if attribute.startswith("_") or attribute == "with_raw_response":
            continue
        value = getattr(thing, attribute)
        if inspect.ismethod(value) and prefix:
            yield prefix + attribute
        elif type(value).__name__.endswith("Client"):
            yield from methods_of(value, f"{prefix}{attribute}.")


METHODS = list(methods_of(client))


def call(path, /, *positional, by=None, **fields):
    """Call a method, with the arguments this version has; None where the version lacks it."""
    if path not in METHODS:
        return None
    found = by or client
    for part in path.split("."):
        found = getattr(found, part)
    known = inspect.signature(found).parameters
    answer = found(*positional, **{key: value for key, value in fields.items() if key in known})
    if inspect.isgenerator(answer):
        answer = b"".join(answer)
    table[path] = "ok"
    return answer


def try_every_absent():
    """Parts that are not here answer 404, in the words of this API."""
    for path in METHODS:
        if not path.startswith(ABSENT) or path in table:
            continue
        found = client
        for part in path.split("."):
            found = getattr(found, part)
        arguments = {}
        for key, parameter in inspect.signature(found).parameters.items():
            if parameter.default is inspect.Parameter.empty and parameter.kind != parameter.VAR_KEYWORD:
                arguments[key] = {"size": 1, "attendees": []}.get(key, "none")
            elif key in ("start", "end") and "calendar" in path:
                arguments[key] = "2026-01-01T00:00:00Z"
        status = None
        try:
            found(**arguments)
        except ApiError as error:
            status = error.status_code
        assert status in (404, 405), (path, status)
        table[path] = f"absent ({status})"


# Who we are
assert call("organizations.get").inbox_count >= 0
if TWO:
    assert call("auth.me").scope_type == "organization"

# Pods and inboxes
pod = call("pods.create", name="Team", client_id=name + "-pod")
assert call("pods.create", name="Other", client_id=name + "-pod").pod_id == pod.pod_id
assert call("pods.get", pod.pod_id).name == "Team"
assert call("pods.list", limit=5).count >= 1
inbox = call("inboxes.create", request={"username": name, "display_name": "Bot", "client_id": name + "-1"})
iid = inbox.inbox_id
assert call("inboxes.get", iid).inbox_id == iid
assert call("inboxes.list", limit=100, ascending=False).count >= 1
assert call("inboxes.update", iid, display_name="Robot").display_name == "Robot"
if TWO:
    assert iid in [found.inbox_id for found in call("inboxes.search", q=name).inboxes]
mate = call("pods.inboxes.create", pod.pod_id, username=name + "-mate", request={"username": name + "-mate"})
assert call("pods.inboxes.get", pod.pod_id, mate.inbox_id).pod_id == pod.pod_id
assert call("pods.inboxes.list", pod.pod_id).count == 1
if TWO:
    assert call("pods.inboxes.search", pod.pod_id, q=name).count == 1
call("pods.inboxes.update", pod.pod_id, mate.inbox_id, display_name="Mate")

# Messages
attachment = {"filename": "a.txt", "content_type": "text/plain", "content": "aGVsbG8="}
sent = call("inboxes.messages.send", iid, to=[mate.inbox_id], subject="Invoices", text="Two invoices are due.",
            attachments=[attachment], labels=["billing"])  # fmt: skip
got = until(lambda: client.inboxes.messages.list(mate.inbox_id).messages, "the mail")[0]
assert call("inboxes.messages.list", iid, labels=["billing"]).count == 1
message = call("inboxes.messages.get", mate.inbox_id, got.message_id)
assert message.text.strip() == "Two invoices are due.", message
part = message.attachments[0].attachment_id
assert call("inboxes.messages.get_attachment", mate.inbox_id, got.message_id, part) is not None
assert call("inboxes.messages.get_raw", mate.inbox_id, got.message_id) is not None
assert "vip" in call("inboxes.messages.update", mate.inbox_id, got.message_id, add_labels=["vip"]).labels
replied = call("inboxes.messages.reply", mate.inbox_id, got.message_id, text="Thanks.")
assert replied.thread_id == got.thread_id
call("inboxes.messages.reply_all", mate.inbox_id, got.message_id, text="Thanks, all.")
call("inboxes.messages.forward", mate.inbox_id, got.message_id, to=["bob@far.example"], text="See below.")
if TWO:
    found = call("inboxes.messages.search", mate.inbox_id, q="invoice")
    assert any("**" in text for text in found.messages[0].highlights.text), found
    assert call("inboxes.messages.batch_get", mate.inbox_id, message_ids=[got.message_id]).count == 1
    updates = call("inboxes.messages.batch_update", mate.inbox_id, message_ids=[got.message_id], add_labels=["seen"])
    assert "seen" in updates.updates[0].labels
    assert call("inboxes.events.list", mate.inbox_id).events[0].label == "seen"

# Threads at three scopes
for prefix, scope in (("", ()), ("pods.", (pod.pod_id,)), ("inboxes.", (mate.inbox_id,))):
    assert call(f"{prefix}threads.list", *scope, limit=5).count >= 1
    assert call(f"{prefix}threads.get", *scope, got.thread_id).messages
    assert call(f"{prefix}threads.get_attachment", *scope, got.thread_id, part) is not None
    if TWO:
        assert call(f"{prefix}threads.search", *scope, q="invoices").threads
        changed = call(f"{prefix}threads.update", *scope, got.thread_id, add_labels=["filed"])
        assert "filed" in changed.labels

# Drafts
draft = call("inboxes.drafts.create", iid, to=[mate.inbox_id], subject="Plan", text="One", client_id=name + "-d",
             attachments=[attachment])  # fmt: skip
for prefix, scope in (("", ()), ("inboxes.", (iid,))):
    assert call(f"{prefix}drafts.list", *scope).count >= 1
    assert call(f"{prefix}drafts.get", *scope, draft.draft_id).subject == "Plan"
    held = draft.attachments[0].attachment_id
    assert call(f"{prefix}drafts.get_attachment", *scope, draft.draft_id, held) is not None
pod_draft = client.inboxes.drafts.create(mate.inbox_id, subject="Pod's", attachments=[attachment])
assert call("pods.drafts.list", pod.pod_id).count == 1
assert call("pods.drafts.get", pod.pod_id, pod_draft.draft_id).subject == "Pod's"
held = pod_draft.attachments[0].attachment_id
assert call("pods.drafts.get_attachment", pod.pod_id, pod_draft.draft_id, held) is not None
later = datetime.now(UTC) + timedelta(days=1)
draft = call("inboxes.drafts.update", iid, draft.draft_id, subject="Plans", send_at=later)
assert draft.send_status == "scheduled", draft
assert call("inboxes.drafts.send", iid, draft.draft_id, add_labels=["sent-draft"]).message_id
call("inboxes.drafts.delete", mate.inbox_id, pod_draft.draft_id)

# Lists at three scopes
for prefix, scope in (("", ()), ("pods.", (pod.pod_id,)), ("inboxes.", (iid,))):
    entry = call(f"{prefix}lists.create", *scope, "receive", "block", entry="evil.example", reason="spam")
    if entry is None:
        continue
    assert entry.entry_type == "domain"
    assert call(f"{prefix}lists.list", *scope, "receive", "block").count == 1
    assert call(f"{prefix}lists.get", *scope, "receive", "block", "evil.example").reason == "spam"
    call(f"{prefix}lists.delete", *scope, "receive", "block", "evil.example")

# Keys at three scopes
for prefix, scope in (("", ()), ("pods.", (pod.pod_id,)), ("inboxes.", (iid,))):
    path = f"{prefix}api_keys."
    body = {"name": "helper"}
    made = call(path + "create", *scope, request=body, **body)
    if made is None:
        continue
    assert made.api_key.startswith("am_")
    assert call(path + "list", *scope).count >= 1
    call(path + "get", *scope, made.api_key_id)
    call(path + "update", *scope, made.api_key_id, name="renamed")
    call(path + "delete", *scope, made.api_key_id)

# Webhooks at three scopes
for prefix, scope in (("", ()), ("pods.", (pod.pod_id,)), ("inboxes.", (iid,))):
    path = f"{prefix}webhooks."
    hook = call(path + "create", *scope, url="https://hooks.example/in", event_types=["message.received"])
    if hook is None:
        continue
    assert hook.secret.startswith("whsec_")
    assert call(path + "list", *scope).count >= 1
    assert call(path + "get", *scope, hook.webhook_id).url == "https://hooks.example/in"
    call(path + "update", *scope, hook.webhook_id, event_types=["message.sent"], add_inbox_ids=[])
    call(path + "update_headers", *scope, hook.webhook_id, headers={"X-Token": "t"})
    if TWO:
        assert call(path + "get_headers", *scope, hook.webhook_id).header_names == ["X-Token"]
    call(path + "delete", *scope, hook.webhook_id)

# Domains at two scopes
for prefix, scope in (("", ()), ("pods.", (pod.pod_id,))):
    path = f"{prefix}domains."
    domain = call(path + "create", *scope, domain=f"{name}-{prefix.strip('.') or 'org'}.example", feedback_enabled=True)
    assert domain.records, domain
    assert call(path + "list", *scope).count >= 1
    assert call(path + "get", *scope, domain.domain_id).domain == domain.domain
    zone = call(path + "get_zone_file", *scope, domain.domain_id)
    call(path + "update", *scope, domain.domain_id, subdomains_enabled=True)
    call(path + "verify", *scope, domain.domain_id)
    call(path + "delete", *scope, domain.domain_id)

# Metrics
for prefix, scope in (("", ()), ("pods.", (pod.pod_id,)), ("inboxes.", (iid,))):
    if TWO:
        counted = call(f"{prefix}metrics.query_events", *scope, event_types=["message.sent"])
        assert sum(bucket.count for bucket in counted["message.sent"]) >= 1, counted
        used = call(f"{prefix}metrics.query_usage", *scope, usage_types=["message_count"])
        assert used["message_count"][-1].value >= 1, used
    start, end = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    call(f"{prefix}metrics.list", *scope, start_timestamp=start, end_timestamp=end)
    call(f"{prefix}metrics.get", *scope, start_timestamp=start, end_timestamp=end)

# The stream
if "websockets.connect" in METHODS:
    from agentmail import Subscribe

    found = client.websockets
    with found.connect() as socket:
        socket.send_subscribe(Subscribe(inbox_ids=[mate.inbox_id])) if hasattr(socket, "send_subscribe") else (
            socket.send_model(Subscribe(inbox_ids=[mate.inbox_id]))
        )
        assert socket.recv().type == "subscribed"
        client.inboxes.messages.send(iid, to=[mate.inbox_id], subject="Live", text="Now.")
        heard = socket.recv()
        assert heard.event_type == "message.received" and heard.message.subject == "Live", heard
    table["websockets.connect"] = "ok"

# Registering
if TWO:
    fresh = call("agent.sign_up", username=name + "-agent", human_email=f"{name}@far.example")
    theirs = AgentMail(environment=environment, api_key=fresh.api_key)
    code = ""

    def mailed():
        owner = os.environ["OPERATOR"]
        found = client.inboxes.messages.list(owner, subject=["Your code"], limit=100).messages
        return [each for each in found if fresh.inbox_id in each.subject]

    letter = client.inboxes.messages.get(os.environ["OPERATOR"], until(mailed, "the code")[0].message_id)
    code = letter.text.split("The code is ", 1)[1][:6]
    # Who has the code already keeps it.
    again = call("agent.attach_human", human_email=f"{name}@far.example", by=theirs)
    assert again is None or again.human_email == f"{name}@far.example"
    assert call("agent.verify", otp_code=code, by=theirs).verified

# Ends
call("inboxes.threads.delete", mate.inbox_id, got.thread_id)
for prefix, scope in (("", ()), ("pods.", (pod.pod_id,))):
    if f"{prefix}threads.delete" in METHODS:
        extra = client.inboxes.messages.send(mate.inbox_id, to=["bob@far.example"], subject="X", text="x")
        call(f"{prefix}threads.delete", *scope, extra.thread_id)
if TWO:
    call("inboxes.messages.delete", iid, sent.message_id)
call("pods.inboxes.delete", pod.pod_id, mate.inbox_id)
call("pods.delete", pod.pod_id)
call("inboxes.delete", iid)
try_every_absent()
missing = [path for path in METHODS if path not in table]
print(json.dumps(table))
assert not missing, missing
print("all methods called", len(METHODS), file=sys.stderr)
