"""An event is never longer than a client takes in a frame, whatever a stranger wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from posthouse.api.agentmail import events
from posthouse.events.webhooks import MAX_BODY_BYTES

_MESSAGE = {"subject": "kept", "message_id": "msg_1", "labels": ["received"], "preview": "p", "size": 5}


@pytest.mark.parametrize(
    "long",
    [
        {"text": "x" * 600_000, "extracted_text": "x" * 600_000},
        {"html": "é" * 600_000},
        {"headers": {f"X-{number}": "v" * 900 for number in range(2_000)}},
        {"to": [f"someone{number}@elsewhere.example" for number in range(60_000)]},
        {"attachments": [{"filename": "f" * 500, "attachment_id": f"a{number}"} for number in range(3_000)]},
        {"references": ["<" + "r" * 200_000 + ">"] * 10, "from": "\u200b" * 400_000},
        {f"field{number}": "v" * 20_000 for number in range(300)},
    ],
)
def test_what_is_too_long_is_left_out_and_the_rest_is_told(long: dict[str, object]) -> None:
    told: dict[str, Any] = {"type": "event", "event_type": "message.received", "event_id": "evt_1"}
    told |= {"message": _MESSAGE | long, "thread": {"senders": ["a"], "recipients": ["b"] * 50}}
    data = events.encoded(told)
    assert len(data) <= MAX_BODY_BYTES
    seen = json.loads(data)
    assert {name: seen[name] for name in ("type", "event_type", "event_id")} == {
        name: told[name] for name in ("type", "event_type", "event_id")
    }
    assert {name: seen["message"][name] for name in _MESSAGE} == _MESSAGE
    assert told["message"].keys() == (_MESSAGE | long).keys(), "what it was made of is left as it was"


def test_what_is_short_enough_is_told_whole() -> None:
    told: dict[str, Any] = {
        "type": "event",
        "message": _MESSAGE | {"text": "x" * 400_000, "extracted_text": "x" * 400_000},
    }
    assert json.loads(events.encoded(told)) == told


def test_long_lists_of_another_event_are_cut_as_well() -> None:
    told: dict[str, Any] = {
        "type": "event",
        "bounce": {"recipients": [{"address": "a" * 200, "status": "5.1.1"}] * 9_000},
    }
    assert len(events.encoded(told)) <= MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        (["4.4.7"], "Transient"), (["4.2.1"], "Transient"), (["5.2.2"], "Transient"), (["4.3.4"], "Transient"),
        (["5.3.4"], "Transient"), (["5.1.1"], "Permanent"), (["5.7.26"], "Permanent"), (["5.4.4"], "Permanent"),
        (["4.4.1", "5.2.2"], "Transient"), (["5.2.2", "5.1.10"], "Permanent"), ([None], "Permanent"), ([""], "Permanent"),
        ([], "Permanent"),
    ],
)  # fmt: skip
def test_a_bounce_is_called_by_the_status_of_all_its_recipients(statuses: list[str | None], kind: str) -> None:
    assert events.bounce_type([{"address": "a@b.example", "status": status} for status in statuses]) == kind
