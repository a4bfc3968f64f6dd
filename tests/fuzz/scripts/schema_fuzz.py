"""Every operation of a running server's own OpenAPI document, called with what it allows and what it forbids.

Path parameters are ids of things that are there, made beforehand or, where a call uses them up, for that call; one
call in eight keeps the made-up ones. Prints one JSON object: what was wrong (`problems`), and what came back.

Reads `SERVER`, `KEY` (of the whole organisation), `SCOPE` (whose key makes the calls), `EXAMPLES` (of each kind,
for each operation), `SEED` and `SLOWEST_S` from its environment.
"""

import itertools
import json
import os
import re
import socket
import sys
import time
from collections import Counter
from datetime import timedelta

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

SERVER, SCOPE = os.environ["SERVER"], os.environ["SCOPE"]
EXAMPLES, SEED, SLOWEST_S = int(os.environ["EXAMPLES"]), int(os.environ["SEED"]), float(os.environ["SLOWEST_S"])
CONFORMS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
]  # fmt: skip
# What is only ever known inside: a stack, a file, a statement, a name of ours or of a library's.
INSIDE = re.compile(
    r"Traceback|File \\?\"|\.py\b|site-packages|posthouse\.[a-z]|apsw|asyncpg|sqlite|msgspec|litestar|hypercorn|uvicorn"
    r"|SELECT .* FROM|INSERT INTO|UPDATE .* SET|(?:Key|Value|Type|Attribute|Index|Assertion|Decode)Error\b"
    r"|(?:Exception|object at 0x|/tmp/|/home/|/root/|/usr/)",
)
counter = itertools.count()
owner = requests.Session()
owner.headers["Authorization"] = f"Bearer {os.environ['KEY']}"


def made(path, body=None):
    """Make something; the answer."""
    answer = owner.post(SERVER + path, json=body or {}, timeout=30)
    assert answer.ok, (path, body, answer.status_code, answer.text)
    return answer.json()


def listed(path, key, **query):
    """What a list holds, once it holds something."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        answer = owner.get(SERVER + path, params=query, timeout=30)
        assert answer.ok, (path, answer.status_code, answer.text)
        if answer.json()[key]:
            return answer.json()[key]
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {path}")


FILE = [{"filename": "a.txt", "content": "aGk=", "content_type": "text/plain"}]
# Bound and never listened on: whoever calls it is refused at once.
CLOSED = socket.socket()
CLOSED.bind(("127.0.0.1", 0))
HOOK = {"url": f"http://127.0.0.1:{CLOSED.getsockname()[1]}/hook", "event_types": ["message.received"]}
BOX = {"direction": "receive", "type": "block"}


def scope_of(path):
    """What an operation's path is below: the organisation, the pod or the inbox."""
    return re.match(r"/v0(/pods/\{pod_id\}|/inboxes/\{inbox_id\}|)", path)[1].format_map(IDS)


def a_message():
    """Ids of a fresh mail in the inbox."""
    subject = f"Fresh {next(counter)}"
    made(f"/v0/inboxes/{IDS['inbox_id']}/messages/send",
         {"to": IDS["inbox_id"], "subject": subject, "text": "Hi.", "attachments": FILE})  # fmt: skip
    path = f"/v0/inboxes/{IDS['inbox_id']}/messages"
    (item,) = listed(path, "messages", labels="received", subject=json.dumps([subject]))
    (part,) = owner.get(f"{SERVER}{path}/{item['message_id']}", timeout=30).json()["attachments"]
    return {key: item[key] for key in ("message_id", "thread_id")} | {"attachment_id": part["attachment_id"]}


def a_draft():
    """Ids of a fresh draft in the inbox."""
    draft = made(f"/v0/inboxes/{IDS['inbox_id']}/drafts", {"to": "d@far.example", "subject": "D", "attachments": FILE})
    return {"draft_id": draft["draft_id"], "attachment_id": draft["attachments"][0]["attachment_id"]}


def a_key(path):
    """Ids of a fresh key."""
    key = made(f"/v0{scope_of(path)}/api-keys", {"name": "spare"})
    return {"api_key_id": key["api_key_id"], "api_key": key["api_key_id"]}


def a_hook(path):
    """Ids of a fresh webhook."""
    return {"webhook_id": made(f"/v0{scope_of(path)}/webhooks", HOOK)["webhook_id"]}


def a_domain(path):
    """Ids of a fresh domain."""
    body = {"domain": f"d{next(counter)}-{SCOPE}-{os.getpid()}.example", "feedback_enabled": True}
    return {"domain_id": made(f"/v0{scope_of(path)}/domains", body)["domain_id"]}


def an_entry(path):
    """Ids of a fresh entry in a list."""
    entry = f"e{next(counter)}.example"
    made(f"/v0{scope_of(path)}/lists/receive/block", {"entry": entry})
    return BOX | {"entry": entry}


def lasting():
    """Things that are there during the whole run, at each scope."""
    pod = made("/v0/pods", {"name": "Fuzz"})["pod_id"]
    inbox = made(f"/v0/pods/{pod}/inboxes", {"display_name": "Fuzz"})["inbox_id"]
    IDS.update(pod_id=pod, inbox_id=inbox)
    for scope in ("", f"/pods/{pod}", f"/inboxes/{inbox}"):
        AT[scope] = {"webhook_id": made(f"/v0{scope}/webhooks", HOOK)["webhook_id"]}
        key = made(f"/v0{scope}/api-keys", {"name": "seed"})
        AT[scope] |= {"api_key_id": key["api_key_id"], "api_key": key["api_key_id"]}
        made(f"/v0{scope}/lists/receive/block", {"entry": "seed.example"})
        if not scope.startswith("/inboxes"):
            domain = {"domain": f"seed{len(AT)}-{SCOPE}-{os.getpid()}.example", "feedback_enabled": True}
            AT[scope] |= {"domain_id": made(f"/v0{scope}/domains", domain)["domain_id"]}
    IDS.update(BOX | {"entry": "seed.example"} | a_message())
    DRAFT.update(a_draft())
    for scope, found in AT.items():
        deliveries = listed(f"/v0{scope}/webhooks/{found['webhook_id']}/deliveries", "deliveries")
        found["delivery_id"] = deliveries[0]["delivery_id"]


IDS, AT, DRAFT = {}, {}, {}
lasting()


def ids_for(method, path):
    """Path parameters that name what is there; fresh where the call would use it up."""
    found = IDS | AT[scope_of(path)] | (DRAFT if "/drafts/" in path else {})
    last = path.rstrip("/").rsplit("/", 1)[1]
    # Sending ends a draft; changing its text gives its attachments new ids.
    if path.endswith(("/drafts/{draft_id}/send", "/drafts/{draft_id}/attachments/{attachment_id}")):
        return found | a_draft()
    if method != "DELETE":
        return found
    if last == "{inbox_id}":
        inboxes = f"/v0/pods/{IDS['pod_id']}/inboxes" if path.startswith("/v0/pods") else "/v0/inboxes"
        return found | {"inbox_id": made(inboxes)["inbox_id"]}
    if last == "{pod_id}":
        return found | {"pod_id": made("/v0/pods")["pod_id"]}
    make = {
        "{message_id}": lambda _path: a_message(), "{thread_id}": lambda _path: a_message(),
        "{draft_id}": lambda _path: a_draft(), "{api_key_id}": a_key, "{api_key}": a_key, "{webhook_id}": a_hook,
        "{domain_id}": a_domain, "{entry}": an_entry,
    }  # fmt: skip
    return found | make[last](path)


def key_of(scope):
    """A key that sees the whole, the pod, the inbox, or little of the whole."""
    path, body = {
        "organization": ("/v0/api-keys", {}),
        "pod": (f"/v0/pods/{IDS['pod_id']}/api-keys", {}),
        "inbox": (f"/v0/inboxes/{IDS['inbox_id']}/api-keys", {}),
        "weak": ("/v0/api-keys", {"permissions": {"inbox_read": True, "message_read": True}}),
    }[scope]
    return made(path, body)["api_key"]


schema = schemathesis.openapi.from_url(f"{SERVER}/openapi.json")
WRITTEN = {
    "to": "t@far.example",
    "cc": [],
    "bcc": [],
    "reply_to": None,
    "attachments": FILE,
    "headers": {},
    "labels": [],
}


def valid_for(name):
    """What a random text never is: an address, a URL, a name in the DNS. The rest of a body stays as it was made up."""
    number = f"{next(counter)}-{SCOPE}-{os.getpid()}"
    for end, body in (
        ("/messages", WRITTEN), ("/messages/send", WRITTEN), ("/forward", WRITTEN), ("/webhooks", HOOK),
        ("/domains", {"domain": f"v{number}.example"}), ("/{type}", {"entry": f"v{number}.example"}),
        ("/webhooks/{webhook_id}/headers", {"headers": {"X-Fuzz": "1"}, "remove_headers": []}),
        ("/agent/sign-up", {"username": f"v{number}", "human_email": "h@far.example"}),
    ):  # fmt: skip
        if name.endswith(end):
            return body
    return {}


# The key goes in by the session: Schemathesis takes it out of its own arguments where it tries to do without.


class Key(requests.auth.AuthBase):
    """Put into each request at last, so that nothing that was made up stands in its place."""

    def __init__(self, key):
        self.key = key

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request


session, nobody = requests.Session(), requests.Session()
session.auth = Key(key_of(SCOPE))
problems, statuses, missed, slowest = [], Counter(), Counter(), (0.0, "")
real, taken = Counter(), Counter()


def noted(case, answer, took, is_real):
    """Check an answer and count it."""
    global slowest
    name = f"{case.method} {case.path}"
    statuses[answer.status_code] += 1
    slowest = max(slowest, (took, name))
    if is_real:
        real[name] += 1
        missed[name] += answer.status_code == 404
        taken[name] += answer.status_code < 300
    said = answer.text
    wrong = []
    if took > SLOWEST_S:
        wrong.append(f"took {took:.1f} s")
    inside = INSIDE.search(said)
    # What the caller wrote itself may come back.
    if inside and inside[0] not in str(case.as_curl_command()):
        wrong.append(f"tells of the inside: {inside[0]!r}")
    # Refused before it was a request: there is no document of that.
    if said != "Invalid HTTP request received.":
        try:
            case.validate_response(answer, checks=CONFORMS)
        except Exception as error:
            wrong.append(" ".join(str(error).split())[:400])
    if wrong:
        problems.append({"operation": name, "status": answer.status_code, "what": wrong, "answer": said[:300],
                         "curl": case.as_curl_command()[:1_500]})  # fmt: skip


def run(operation, mode):
    """Call an operation a number of times."""
    name = f"{operation.method.upper()} {operation.path}"
    examples = max(2, EXAMPLES // 5) if operation.method.upper() == "DELETE" else EXAMPLES

    @seed(SEED)
    @settings(
        max_examples=examples, deadline=timedelta(seconds=120), database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode), keeps=st.integers(0, 7))
    def once(case, keeps):
        # Hypothesis likes the ends of a range: 3 is drawn about as often as said.
        is_real = keeps != 3
        if is_real:
            known = ids_for(operation.method.upper(), operation.path)
            case.path_parameters.update({key: known[key] for key in re.findall(r"\{(\w+)\}", operation.path)})
        if keeps in (1, 2, 4, 5) and isinstance(case.body, dict):
            case.body.update(valid_for(name))
        began = time.monotonic()
        try:
            answer = case.call(base_url=SERVER, session=session if is_real else nobody, timeout=30)
        except requests.RequestException as error:
            problems.append({"operation": name, "what": [repr(error)[:300]], "curl": case.as_curl_command()[:1_500]})
            return
        noted(case, answer, time.monotonic() - began, is_real)

    once()


operations = [found.ok() for found in schema.get_all_operations()]
# What lasts is used first, and what ends things last.
operations.sort(key=lambda each: each.method.upper() == "DELETE")
for each in operations:
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        try:
            run(each, mode)
        except Exception as error:
            # Nothing of it can be wrong: there is no body, no query, nothing but ids.
            if "Unsatisfiable" not in type(error).__name__ and "Unsatisfiable" not in str(error):
                problems.append(
                    {"operation": f"{each.method} {each.path}", "what": [f"{type(error).__name__}: {error}"[:600]]}
                )
print(json.dumps({
    "operations": len(operations), "calls": sum(statuses.values()), "statuses": statuses, "problems": problems,
    "real": sum(real.values()), "not_found": sum(missed.values()), "slowest": slowest,
    "never_taken": sorted(name for name in real if not taken[name]), "never_found": sorted(name for name in real if missed[name] == real[name]),
}))  # fmt: skip
sys.exit(0)
