"""Requests, references, limits and credentials (RFC 8620 §2–§5), with the examples of the standard."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.jmap.conftest import ALL, Agent, mail
from posthouse.admin import keys as admin_keys
from posthouse.api.jmap import budget, errors, references
from posthouse.api.jmap.errors import MethodError
from posthouse.app import House
from posthouse.kit.errors import ALL as CORE_ERRORS

# RFC 8620 §3.7
RESPONSES: references.Responses = [
    ("Email/query", {"ids": ["m1", "m2"], "position": 0}, "t0"),
    (
        "Email/get",
        {"list": [{"threadId": "t1", "to": ["a"]}, {"threadId": "t2", "to": ["b", "c"]}], "x/y": {"~": 1}},
        "t1",
    ),
]


def ref(path: str, of: str = "t1", name: str = "Email/get") -> dict[str, str]:
    return {"resultOf": of, "name": name, "path": path}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"#ids": ref("/list/*/threadId")}, {"ids": ["t1", "t2"]}),
        ({"#ids": ref("/list/*/to")}, {"ids": ["a", "b", "c"]}),
        ({"#a": ref("/x~1y/~0")}, {"a": 1}),
        ({"#a": ref("/ids/1", "t0", "Email/query")}, {"a": "m2"}),
        ({"filter": {"inMailbox": ref("/ids/0", "t0", "Email/query")}}, {"filter": {"inMailbox": "m1"}}),  # D1
        ({"create": {"d": {"#to": ref("/list/1/to")}}}, {"create": {"d": {"to": ["b", "c"]}}}),  # D2
        ({"onSuccessUpdateEmail": {"#s1": {"a": None}}}, {"onSuccessUpdateEmail": {"#s1": {"a": None}}}),
    ],
)
def test_references_are_replaced_by_what_they_point_to(args: dict[str, Any], expected: dict[str, Any]) -> None:
    assert references.resolve(args, RESPONSES, budget.new()) == expected


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        ({"#ids": ref("/list/9")}, "invalidResultReference"),
        ({"#ids": ref("/list/01")}, "invalidResultReference"),
        ({"#ids": ref("list")}, "invalidResultReference"),
        ({"#ids": ref("/list", "t0")}, "invalidResultReference"),
        ({"#ids": ref("/list", "t9")}, "invalidResultReference"),
        ({"#ids": "t0"}, "invalidResultReference"),
        ({"#ids": ref("/list"), "ids": []}, "invalidArguments"),
    ],
)
def test_references_to_nothing_are_refused(args: dict[str, Any], kind: str) -> None:
    with pytest.raises(MethodError) as raised:
        references.resolve(args, RESPONSES, budget.new())
    assert raised.value.body["type"] == kind


def test_an_answer_goes_to_the_sender_where_there_is_no_reply_to() -> None:
    responses: references.Responses = [("Email/get", {"list": [{"replyTo": None, "from": [{"email": "a@x"}]}]}, "g")]
    args = {"create": {"d": {"#to": ref("/list/0/replyTo", "g")}}}
    assert references.resolve(args, responses, budget.new()) == {"create": {"d": {"to": [{"email": "a@x"}]}}}  # D3


def test_every_core_error_has_a_row() -> None:
    assert set(errors.ERRORS) == set(CORE_ERRORS)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("{", "notJSON"),
        ("[]", "notRequest"),
        ('{"using":[],"methodCalls":[["a",{}]]}', "notRequest"),
        ('{"using":"x","methodCalls":[]}', "notRequest"),
        ('{"using":["urn:x"],"methodCalls":[]}', "unknownCapability"),
        ('{"using":[],"methodCalls":[' + ",".join(['["Core/echo",{},"0"]'] * 33) + "]}", "limit"),
    ],
)
async def test_a_request_that_is_none_is_a_problem(ann: Agent, body: str, kind: str) -> None:
    headers = ann.headers | {"content-type": "application/json"}
    answer = await ann.http.post("/jmap/", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["type"] == f"urn:ietf:params:jmap:error:{kind}"
    assert ("limit" in answer.json()) is (kind == "limit")


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(ann: Agent) -> None:
    headers = ann.headers | {"content-type": "application/json"}
    answer = await ann.http.post("/jmap/", content=b" " * 10_485_761, headers=headers)
    assert (answer.status_code, answer.json()["limit"]) == (400, "maxSizeRequest")
    many = await ann.call("Email/get", ids=[f"x{n}" for n in range(501)])
    assert many["error"]["type"] == "requestTooLarge"


@pytest.mark.parametrize("bad", [1, True, "text", {"a": 1}, [1], [None], {"a": None}, 1.5])
async def test_wrong_types_never_fail_a_call(ann: Agent, bad: Any) -> None:
    await ann.receive(mail())
    id_ = (await ann.call("Email/query"))["ids"][0]
    names = [
        "Mailbox",
        "Thread",
        "Email",
        "Identity",
        "EmailSubmission",
        "VacationResponse",
        "Quota",
        "PushSubscription",
    ]
    calls: list[tuple[str, dict[str, Any]]] = []
    for name in names:
        calls += [(f"{name}/get", {"ids": bad}), (f"{name}/get", {"properties": bad}), (f"{name}/set", {"create": bad})]
        calls += [
            (f"{name}/set", {"update": bad}),
            (f"{name}/set", {"destroy": bad}),
            (f"{name}/set", {"create": {"a": bad}}),
        ]
        calls += [
            (f"{name}/changes", {"sinceState": bad}),
            (f"{name}/query", {"filter": bad}),
            (f"{name}/query", {"sort": bad}),
        ]
    given = ["keywords", "mailboxIds", "receivedAt", "from", "subject", "bodyStructure", "bodyValues", "textBody",
             "attachments", "header:X:asDate", "header:X:asURLs", "messageId", "sentAt"]  # fmt: skip
    box = {ann.boxes["drafts"]: True}
    calls += [("Email/set", {"create": {"a": {"mailboxIds": box, name: bad}}}) for name in given]
    calls += [
        ("Email/set", {"update": {id_: {name: bad}}}) for name in ("keywords", "mailboxIds", "keywords/x", "subject")
    ]
    conditions = [
        "inMailbox",
        "inMailboxOtherThan",
        "before",
        "minSize",
        "hasKeyword",
        "hasAttachment",
        "text",
        "header",
    ]
    calls += [("Email/query", {"filter": {name: bad}}) for name in conditions]
    calls += [
        ("Email/query", {name: bad}) for name in ("position", "anchor", "limit", "collapseThreads", "anchorOffset")
    ]
    calls += [
        ("Mailbox/set", {"create": {"a": {"name": "x", name: bad}}}) for name in ("parentId", "role", "sortOrder")
    ]
    calls += [
        ("EmailSubmission/set", {"create": {"a": {"emailId": id_, name: bad}}}) for name in ("envelope", "identityId")
    ]
    calls += [
        ("EmailSubmission/set", {"onSuccessUpdateEmail": bad}),
        ("Email/import", {"emails": {"a": {"blobId": bad}}}),
    ]
    calls += [
        ("Blob/upload", {"create": {"a": {"data": bad}}}),
        ("Blob/get", {"ids": bad}),
        ("Email/parse", {"blobIds": bad}),
    ]
    calls += [
        ("VacationResponse/set", {"update": {"singleton": {name: bad}}})
        for name in ("isEnabled", "fromDate", "subject")
    ]
    calls += [
        ("Identity/set", {"create": {"a": {"email": ann.address, name: bad}}}) for name in ("replyTo", "name", "bcc")
    ]
    for start in range(0, len(calls), 30):
        for kind, body, number in await ann.batch(*calls[start : start + 30]):
            assert not (kind == "error" and body["type"] == "serverFail"), (calls[start + int(number)], body)


async def test_created_ids_lead_from_one_call_and_one_request_to_the_next(ann: Agent) -> None:
    answer = await ann.http.post(
        "/jmap",
        headers=ann.headers,
        json={
            "using": ALL,
            "methodCalls": [["Mailbox/set", {"create": {"k1": {"name": "One"}}}, "0"]],
            "createdIds": {"old": "x"},
        },
    )
    created = answer.json()["createdIds"]
    assert created["old"] == "x"
    again = await ann.batch(("Mailbox/set", {"create": {"k2": {"name": "Two", "parentId": "#k1"}}}), createdIds=created)
    made = again[0][1]["created"]["k2"]["id"]
    assert (await ann.call("Mailbox/get", ids=[made]))["list"][0]["parentId"] == created["k1"]


async def test_a_method_needs_its_capability(ann: Agent) -> None:
    body = {
        "using": ["urn:ietf:params:jmap:core"],
        "methodCalls": [["Core/echo", {"a": [1]}, "0"], ["Email/query", {}, "1"]],
    }
    answer = (await ann.http.post("/jmap/", headers=ann.headers, json=body)).json()
    assert answer["methodResponses"] == [["Core/echo", {"a": [1]}, "0"], ["error", {"type": "unknownMethod"}, "1"]]
    session = (await ann.http.get("/.well-known/jmap", headers=ann.headers)).json()
    assert answer["sessionState"] == session["state"]


async def test_ordinary_clients_log_in_with_address_and_key_and_are_held_to_the_standard(
    ann: Agent, house: House, make_agent: Callable[..., Awaitable[Agent]]
) -> None:
    other = await make_agent("eve")

    def basic(name: str, key: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()}

    assert (await ann.http.get("/.well-known/jmap", headers=basic(ann.address, ann.key))).status_code == 200
    assert (await ann.http.get("/.well-known/jmap", headers=basic(other.address, ann.key))).status_code == 401
    body = {"using": ALL, "methodCalls": [["Mailbox/get", {}, "0"]]}
    strict = await ann.http.post("/jmap/", headers=basic(ann.address, ann.key), json=body)
    assert strict.json()["methodResponses"][0][1]["type"] == "invalidArguments"
    lenient = await ann.http.post("/jmap/", headers=ann.headers, json=body)  # D8
    assert lenient.json()["methodResponses"][0][0] == "Mailbox/get"
    foreign = await ann.batch(("Mailbox/get", {"accountId": other.account_id}))
    assert foreign[0][1] == {"type": "accountNotFound"}
    whole = (await admin_keys.create(house, surface="agentmail"))["key"]
    bound = (await admin_keys.create(house, surface="agentmail", inbox=ann.address))["key"]
    part = (await admin_keys.create(house, surface="agentmail", inbox=ann.address, scopes=["message_read"]))["key"]
    got = [
        (await ann.http.get("/.well-known/jmap", headers={"authorization": f"Bearer {key}"})).status_code
        for key in (whole, bound, part, "nonsense")
    ]
    assert got == [401, 200, 403, 401]


async def test_blobs_are_joined_ranged_digested_and_looked_up(ann: Agent) -> None:
    made = await ann.batch(
        (
            "Blob/upload",
            {
                "create": {
                    "b1": {"data": [{"data:asText": "The quick "}, {"data:asBase64": "YnJvd24="}], "type": "text/plain"}
                }
            },
        ),
        (
            "Blob/upload",
            {"create": {"b2": {"data": [{"blobId": "#b1", "offset": 4, "length": 5}]}, "b3": {"data": []}}},
        ),
        (
            "Blob/get",
            {"ids": ["#b1", "#b2", "nope"], "properties": ["data:asText", "size", "digest:sha-256"], "offset": 1},
        ),
    )
    assert made[0][1]["created"]["b1"] | {"id": ""} == {"id": "", "type": "text/plain", "size": 15}
    assert made[1][1]["notCreated"]["b3"]["type"] == "invalidProperties"
    shown = made[2][1]
    assert [(each["data:asText"], each["size"]) for each in shown["list"]] == [("he quick brown", 15), ("uick", 5)]
    assert shown["notFound"] == ["nope"]
    await ann.receive(mail())
    email = (
        await ann.call("Email/get", ids=(await ann.call("Email/query"))["ids"], properties=["blobId", "threadId"])
    )["list"][0]
    found = await ann.call("Blob/lookup", typeNames=["Email", "Thread", "Mailbox"], ids=[email["blobId"], "nope"])
    assert found["list"][0]["matchedIds"] == {
        "Email": [email["id"]], "Thread": [email["threadId"]], "Mailbox": [ann.boxes["inbox"]],
    }  # fmt: skip
    assert found["notFound"] == ["nope"]
    assert (await ann.call("Blob/lookup", typeNames=["Car"], ids=[]))["error"]["type"] == "unknownDataType"
