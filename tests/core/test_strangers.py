"""Whom an account writes to for the first time, and where an answer is led."""

from __future__ import annotations

import pytest

from core.home import Home
from store.builders import mail


@pytest.fixture
async def home(home: Home) -> Home:
    """A house whose inbox is guarded, and has written to Bob."""
    await home.set_level("guarded")
    await home.send()
    await home.settle()
    return home


async def _said(home: Home, sent: object) -> list[tuple[str, str]]:
    findings = (await home.submission(sent)).findings  # type: ignore[arg-type]
    assert findings is not None
    return [(each["rule"], each["match"]) for each in findings]


async def test_the_first_mail_to_somebody_is_told_and_the_second_is_not(home: Home) -> None:
    assert await _said(home, await home.send()) == []
    sent = await home.send(to="eve@far.example")
    assert await _said(home, sent) == [("ob_new_recipient", "eve@far.example")]
    assert not sent.held
    assert await _said(home, await home.send(to="EVE@far.example")) == []


async def test_a_look_alike_of_a_known_domain_waits(home: Home) -> None:
    sent = await home.send(to="bob@e1sewhere.example")
    assert await _said(home, sent) == [("ob_lookalike_domain", "bob@e1sewhere.example")]
    assert sent.held


async def test_held_mail_makes_nobody_known_before_it_goes(home: Home) -> None:
    first = await home.send(to="bob@e1sewhere.example")
    second = await home.send(to="bob@e1sewhere.example")
    assert second.held
    await home.approve(first.hold_id)
    await home.settle()
    assert not (await home.send(to="bob@e1sewhere.example")).held


async def test_who_wrote_is_no_stranger_and_whom_a_reply_to_names_is(home: Home) -> None:
    asked = await home.receive(mail(from_="carl@far.example", message_id="one"), sender="carl@far.example")
    assert await _said(home, await home.answer(asked)) == []
    led = await home.receive(
        mail(from_="carl@far.example", message_id="two", extra="Reply-To: carl@evil.example"), sender="carl@far.example"
    )
    sent = await home.answer(led)
    assert await _said(home, sent) == [("ob_reply_elsewhere", "carl@evil.example")]
    assert sent.held
    near = await home.receive(
        mail(from_="carl@far.example", message_id="three", extra="Reply-To: desk@far.example"),
        sender="carl@far.example",
    )
    sent = await home.answer(near)
    assert await _said(home, sent) == [("ob_reply_elsewhere", "desk@far.example")]
    assert not sent.held


async def test_everybody_on_the_envelope_counts(home: Home) -> None:
    sent = await home.send(cc="cy@far.example", bcc="di@far.example")
    assert sorted(await _said(home, sent)) == [
        ("ob_new_recipient", "cy@far.example"), ("ob_new_recipient", "di@far.example"),
    ]  # fmt: skip
