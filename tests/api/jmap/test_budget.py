"""What one request may use: small requests that ask for much are refused in the standard's words, before the work."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.jmap.conftest import ALL, Agent, mail
from posthouse.api import json_values
from posthouse.api.jmap import budget, filters, json_pieces, turns
from posthouse.api.jmap.calls import MAX_CONCURRENT_UPLOAD, Call, Caller
from posthouse.api.jmap.errors import MethodError, RequestError
from posthouse.kit.errors import TooLarge
from posthouse.kit.principal import Principal

MIB = 1024 * 1024


async def upload(ann: Agent, data: bytes, kind: str = "application/octet-stream") -> str:
    """Upload; the blob's id."""
    headers = ann.headers | {"content-type": kind}
    answer = await ann.http.post(f"/jmap/upload/{ann.account_id}/", content=data, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["blobId"])


def types_of(answers: list[tuple[str, dict[str, Any], str]]) -> list[str]:
    """The types of the errors among the answers."""
    return [body["type"] for kind, body, _ in answers if kind == "error"]


async def test_an_answer_that_refers_to_itself_does_not_double_for_ever(ann: Agent) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [("Core/echo", {"a": "x" * 100})]
    for number in range(1, 30):
        before = {"resultOf": str(number - 1), "name": "Core/echo", "path": ""}
        calls.append(("Core/echo", {"#a": before, "#b": before}))
    answers = await ann.batch(*calls)
    assert len(json.dumps(answers)) < 3 * budget.LIMITS[budget.REFERENCES]
    # The first that is refused is refused for its size; the others refer to an error then.
    assert types_of(answers)[0] == "requestTooLarge"
    assert set(types_of(answers)[1:]) == {"invalidResultReference"}
    assert "octets of result references" in next(body for kind, body, _ in answers if kind == "error")["description"]


async def test_references_among_many_values_are_counted_as_they_are_followed(ann: Agent) -> None:
    step = {"resultOf": "0", "name": "Core/echo", "path": "/a/*/b"}
    answers = await ann.batch(
        ("Core/echo", {"a": [{"b": 1}] * 5_000}), ("Core/echo", {"c": [{"#d": step} for _ in range(50)]})
    )
    assert types_of(answers) == ["requestTooLarge"]
    long = await ann.batch(("Core/echo", {"a": 1}), ("Core/echo", {"#a": step | {"path": "/a" + "/*" * 600}}))
    assert types_of(long) == ["invalidResultReference"]


async def test_ranges_of_one_blob_are_read_once_and_answered_within_limits(ann: Agent) -> None:
    blob = await upload(ann, b"word " * 200_000)
    ranges = [f"P{blob[1:]}-{start}-1000000-n" for start in range(100)]
    found = (await ann.call("Blob/get", ids=ranges[:20], properties=["data:asText", "size"]))["list"]
    assert [each["size"] for each in found] == [1_000_000 - start for start in range(20)]
    refused = await ann.call("Blob/get", ids=ranges, properties=["data"])
    assert refused["error"]["type"] == "requestTooLarge"
    assert "octets of answers" in refused["error"]["description"]
    spread = await ann.batch(*[("Blob/get", {"ids": ranges[n : n + 10]}) for n in range(0, 100, 10)])
    assert types_of(spread)
    assert (
        sum(len(each["data:asText"]) for kind, body, _ in spread if kind != "error" for each in body["list"])
        <= (budget.LIMITS[budget.ANSWERS])
    )


async def test_a_blob_attached_many_times_counts_as_often_before_it_is_read(ann: Agent) -> None:
    blob = await upload(ann, bytes(MIB))
    parts = [{"blobId": blob, "type": "application/x-data", "name": f"{n}"} for n in range(60)]
    draft = {"mailboxIds": {ann.boxes["drafts"]: True}, "attachments": parts}
    refused = await ann.call("Email/set", create={"d": draft})
    assert refused["notCreated"]["d"]["type"] == "tooLarge"
    assert refused["notCreated"]["d"]["maxSize"] == ann.house.settings.max_message_bytes
    made = await ann.call("Email/set", create={"d": draft | {"attachments": parts[:3]}})
    assert made["created"]["d"]["size"] > 4 * MIB


async def test_mail_to_be_parsed_is_counted(ann: Agent) -> None:
    raw = mail(body="words and more\r\n" * 320_000)
    blob = await upload(ann, raw, "message/rfc822")
    ranges = [f"P{blob[1:]}-{start}-{len(raw)}-n" for start in range(20)]
    refused = await ann.call("Email/parse", blobIds=ranges, properties=["subject"])
    assert refused["error"]["type"] == "requestTooLarge"
    assert "mail to be parsed" in refused["error"]["description"]
    parsed = await ann.call("Email/parse", blobIds=ranges[:2], properties=["subject"])
    assert parsed["parsed"][ranges[0]]["subject"] == "hello"
    emails = {str(n): {"blobId": blob, "mailboxIds": {ann.boxes["inbox"]: True}} for n in range(16)}
    taken = await ann.call("Email/import", emails=emails)
    assert taken["created"]
    assert {each["type"] for each in taken["notCreated"].values()} == {"tooLarge"}


async def test_a_hundred_emails_with_their_texts_are_one_request(ann: Agent) -> None:
    raw = mail(body="Dear all, it is so.\r\n" * 1_000)
    blob = await upload(ann, raw, "message/rfc822")
    emails = {str(n): {"blobId": blob, "mailboxIds": {ann.boxes["inbox"]: True}} for n in range(100)}
    assert len((await ann.call("Email/import", emails=emails))["created"]) == 100
    ids = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
    names = ["id", "from", "subject", "bodyValues", "textBody", "headers"]
    got = (await ann.batch(("Email/query", {}), ("Email/get", {"#ids": ids, "properties": names,
           "fetchTextBodyValues": True})))[1][1]["list"]  # fmt: skip
    assert len(got) == 100
    assert {each["bodyValues"]["1"]["isTruncated"] for each in got} == {False}
    assert {len(each["bodyValues"]["1"]["value"]) for each in got} == {20_000 + 1}
    # The same in many calls comes to an end.
    many = await ann.batch(("Email/query", {}), *[("Email/get", {"#ids": ids, "fetchAllBodyValues": True})] * 31)
    assert set(types_of(many)) == {"requestTooLarge"}


async def test_a_text_that_goes_on_is_cut_and_says_so(ann: Agent) -> None:
    await ann.receive(mail(body="0123456789abcde\r\n" * 300_000))
    ids = (await ann.call("Email/query"))["ids"]
    got = await ann.call("Email/get", ids=ids, properties=["bodyValues"], fetchTextBodyValues=True)
    value = got["list"][0]["bodyValues"]["1"]
    assert (value["isTruncated"], len(value["value"])) == (True, budget.MAX_VALUE_OCTETS)


def _call(**args: Any) -> Call:
    caller = Caller(Principal("org"), {"a": "ann@agents.test"}, "http://mail.test")
    return Call(None, caller, "Email/query", args, frozenset(), "a")  # type: ignore[arg-type]


def _nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"text": "x"}
    for _ in range(depth):
        inner = {"operator": "AND", "conditions": [inner]}
    return inner


@pytest.mark.parametrize(
    ("filter_", "kind"),
    [
        ({"operator": "OR", "conditions": [{"text": "x"}] * 300}, "unsupportedFilter"),
        ({"operator": "OR", "conditions": [{"operator": "OR", "conditions": [{"name": "x"}] * 60}] * 5}, "unsupportedFilter"),
        (_nested(30), "unsupportedFilter"),
        ({"text": "word " * 300}, "unsupportedFilter"),
        ({"text": "漢" * 2_001}, "unsupportedFilter"),
        ({"inMailboxOtherThan": ["m"] * 300}, "unsupportedFilter"),
        ({"operator": "XOR", "conditions": []}, "invalidArguments"),
        ({"operator": "OR", "conditions": [], "inMailbox": "m"}, "invalidArguments"),
        ({"operator": "OR", "conditions": ["x"]}, "invalidArguments"),
    ],
)  # fmt: skip
def test_a_filter_is_measured_before_it_is_read(filter_: dict[str, Any], kind: str) -> None:
    with pytest.raises(MethodError) as raised:
        filters.measure(_call(), filter_)
    assert raised.value.body["type"] == kind


def test_the_conditions_of_all_calls_count_together() -> None:
    call = _call()
    for _ in range(4):
        filters.measure(call, {"operator": "OR", "conditions": [{"text": "x"}] * 240})
    with pytest.raises(TooLarge, match="conditions of filters"):
        filters.measure(call, {"operator": "OR", "conditions": [{"text": "x"}] * 240})


async def test_every_method_with_a_filter_bounds_it_and_its_sort(ann: Agent) -> None:
    many = {"operator": "OR", "conditions": [{}] * 20_000}
    assert (await ann.call("SearchSnippet/get", filter=many, emailIds=[]))["error"]["type"] == "unsupportedFilter"
    for name, property_ in (("Email/query", "sentAt"), ("Mailbox/query", "name"), ("EmailSubmission/query", "sentAt")):
        assert (await ann.call(name, filter=many))["error"]["type"] == "unsupportedFilter"
        assert (await ann.call(name, sort=[{"property": property_}] * 2_000))["error"]["type"] == "unsupportedSort"


async def test_conditions_that_look_elsewhere_for_every_email_are_few(ann: Agent) -> None:
    for operator, conditions in (
        ("OR", [{"someInThreadHaveKeyword": f"k{n}"} for n in range(60)]),
        ("NOT", [{"inMailbox": f"m{n}"} for n in range(60)]),
        ("AND", [{"header": ["X", f"{n}"]} for n in range(11)]),
    ):
        answer = await ann.call("Email/query", filter={"operator": operator, "conditions": conditions})
        assert answer["error"]["type"] == "unsupportedFilter", operator


async def test_keywords_of_any_case_are_found_however_many_are_asked_for(ann: Agent) -> None:
    for number in range(3):
        await ann.receive(mail(f"s{number}"))
    ids = (await ann.call("Email/query", sort=[{"property": "subject"}]))["ids"]
    marks = {ids[0]: "a_b", ids[1]: "axb", ids[2]: "$flagged"}
    await ann.call("Email/set", update={id_: {f"keywords/{mark}": True} for id_, mark in marks.items()})

    async def having(*keywords: str) -> set[str]:
        conditions = [
            {"operator": "AND", "conditions": [{"hasKeyword": each}, {"maxSize": 10**6}]} for each in keywords
        ]
        return set((await ann.call("Email/query", filter={"operator": "OR", "conditions": conditions}))["ids"])

    assert await having("A_B", "none") == {ids[0]}
    assert await having("$flagged", "AXB") == {ids[1], ids[2]}
    others = {"operator": "AND", "conditions": [{"notKeyword": "A_b"}, {"notKeyword": "$flagged"}]}
    assert (await ann.call("Email/query", filter=others))["ids"] == [ids[1]]


async def test_lists_of_names_and_ids_have_an_end(ann: Agent) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("Email/get", {"ids": [], "properties": [f"header:X-{n}" for n in range(300)]}),
        ("Email/get", {"ids": [], "bodyProperties": [f"header:X-{n}" for n in range(300)]}),
        ("Blob/get", {"ids": [], "properties": ["size"] * 300}),
        ("Blob/lookup", {"typeNames": ["Email"], "ids": ["x"] * 501}),
        ("Email/parse", {"blobIds": ["x"] * 501}),
        ("PushSubscription/set", {"destroy": ["x"] * 501}),
    ]
    assert types_of(await ann.batch(*calls)) == ["requestTooLarge"] * len(calls)


async def test_what_changes_something_refuses_arguments_it_does_not_know(ann: Agent) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("Email/set", {"create": {}, "ifUnmodifiedSince": "1"}),
        ("Mailbox/set", {"create": {}, "ifInstate": "1"}),
        ("Email/import", {"emails": {}, "isDryRun": True}),
        ("EmailSubmission/set", {"create": {}, "onSuccessUpdateEmails": {}}),
    ]
    answers = await ann.batch(*calls)
    assert types_of(answers) == ["invalidArguments"] * len(calls)
    assert [body["arguments"] for _, body, _ in answers] == [[list(args)[1]] for _, args in calls]
    # What only reads passes them over.
    assert types_of(await ann.batch(("Email/query", {"properties": ["id"]}))) == []


async def test_a_parameter_of_an_envelope_that_is_not_kept_is_refused(ann: Agent) -> None:
    made = await ann.draft()
    for sender, recipient in (({"REQUIRETLS": None}, {}), ({"RET": "SOME"}, {}), ({}, {"BY": "60;R"})):
        envelope = {
            "mailFrom": {"email": ann.address, "parameters": sender},
            "rcptTo": [{"email": "bob@example.org", "parameters": recipient}],
        }
        answer = await ann.call("EmailSubmission/set", create={"s": {"emailId": made["id"], "envelope": envelope}})
        assert answer["notCreated"]["s"]["type"] == "invalidProperties"


def test_values_are_counted_without_looking_into_strings() -> None:
    assert json_values.count_values(b'[1,2,{"a":[]}]') == 6
    assert json_values.count_values(json.dumps(['a,b,[{",', '\\","', "\\"]).encode()) == 4
    with pytest.raises(RequestError) as raised:
        json_pieces.read(b"[" + b"[]," * 200_000 + b"[]]")
    assert raised.value.body["type"].endswith(":limit")
    assert json_pieces.read(json.dumps([",[{" * 100_000]).encode()) == [",[{" * 100_000]
    with pytest.raises(RequestError):
        json_pieces.read(b"[" * 90_000 + b"]" * 90_000)


@pytest.mark.parametrize(
    "value",
    [{}, [], {"a": None, "b": [1, {"c": "ü\U0001f389\x00\"\\"}]}, {"long": "ab\"\n\U0001f389" * 600_000}, ["x"] * 3_000,
     {"a": {"a": {"a": {"a": {"a": {"a": {"a": [1]}}}}}}}],
)  # fmt: skip
def test_pieces_of_a_value_are_the_value(value: Any) -> None:
    assert json.loads(b"".join(json_pieces.pieces(value))) == value


async def test_requests_with_too_many_values_are_a_problem_of_the_request(ann: Agent) -> None:
    body = json.dumps({"using": ALL, "methodCalls": [["Core/echo", {"a": [[]] * 300_000}, "0"]]})
    answer = await ann.http.post("/jmap/", content=body, headers=ann.headers | {"content-type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:ietf:params:jmap:error:limit")


async def test_a_long_answer_is_whole(ann: Agent, http: httpx.AsyncClient) -> None:
    data = ('\U0001f389 "quoted"\n' * 100_000).encode() + b"\x00"
    blob = await upload(ann, data)
    found = (await ann.call("Blob/get", ids=[blob], properties=["data:asText", "data:asBase64", "digest:sha"]))["list"]
    assert found[0]["data:asText"].encode() == data
    assert base64.b64decode(found[0]["data:asBase64"]) == data
    assert len(found[0]["digest:sha"]) == 28


async def test_heavy_requests_of_one_account_take_turns_and_keep_no_other_waiting() -> None:
    much = turns.HEAVY_OCTETS + 1
    room = turns.Aside()
    async with room.request("a") as second:
        async with room.request("a") as first, room.request("b") as other:
            await first.hold(much)
            assert await second.run(10, lambda: "small") == "small"
            waiting = asyncio.create_task(second.run(much, lambda: "heavy"))
            assert await other.run(much, lambda: "another's") == "another's"
            assert await first.run(much, lambda: "more") == "more"
            assert not waiting.done()
        assert await waiting == "heavy"


async def test_who_waits_for_a_turn_and_hangs_up_leaves_it_to_the_next() -> None:
    much = turns.HEAVY_OCTETS + 1
    room = turns.Aside()

    async def one() -> str:
        async with room.request("a") as work:
            return await work.run(much, lambda: "done")

    async with room.request("a") as first:
        await first.hold(much)
        gone, next_ = asyncio.create_task(one()), asyncio.create_task(one())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    assert await next_ == "done"


async def test_requests_at_once_are_bounded_whatever_the_rates_are(ann: Agent) -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"some"
        await go_on.wait()
        yield b"thing"

    path = f"/jmap/upload/{ann.account_id}/"
    under_way = [
        asyncio.create_task(ann.http.post(path, content=slow(), headers=ann.headers))
        for _ in range(MAX_CONCURRENT_UPLOAD + 1)
    ]
    done, waiting = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    refused = done.pop().result()
    assert (refused.status_code, refused.json()["limit"]) == (429, "maxConcurrentUpload")
    go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {201}
    assert (await ann.http.post(path, content=b"later", headers=ann.headers)).status_code == 201
