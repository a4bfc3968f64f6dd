"""The scanner as a filter."""

from __future__ import annotations

import base64
import io
import json

from posthouse.scan.lines import scan_outbound


def _scan(*lines: object) -> list[dict[str, object]]:
    out = io.StringIO()
    scan_outbound(
        io.StringIO("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)), out
    )
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_each_line_is_answered_in_order_and_by_itself() -> None:
    file = {
        "filename": "a.txt",
        "content_type": "text/plain",
        "content_b64": base64.b64encode(b"SSN 536-22-8714").decode(),
    }
    answers = _scan(
        {"to": "a@x.example", "subject": "Hi", "text": "see you on Friday"},
        {"to": ["a@x.example"], "subject": "Hi", "html": "<p>password: Harp1stLane</p>"},
        "no JSON",
        {"to": "a@x.example", "subject": 7},
        {"to": "a@x.example", "subject": "Hi", "text": None, "attachments": [file]},
        {"to": "a@x.example", "subject": "Hi", "attachments": [file | {"content_b64": "&"}]},
    )
    assert [answer.get("flag") for answer in answers] == [False, True, None, None, True, None]
    assert answers[1]["rules"] == ["ob_password_value"]
    assert answers[4]["rules"] == ["ob_ssn", "ob_ssn_obfuscated"]
    assert all("no message" in str(answers[index]["error"]) for index in (2, 3, 5))
