"""Hits are shown in bounded time, whatever was sent, and never while everybody waits."""

from __future__ import annotations

import asyncio
from time import process_time

import pytest

from posthouse.api.jmap.snippet import preview
from posthouse.kit.aside import INLINE_BYTES, aside
from posthouse.mail.searching import Hit, ShownTexts, highlights
from posthouse.store.messages import Message, MessageBody


def hit(*, text: str | None = None, html: str | None = None, new: str | None = None) -> Hit:
    message = Message(
        id="m", account_id="a", thread_id="t", blob_hash="b", size_bytes=1, direction="inbound", header_message_id=None,
        in_reply_to=(), refs=(), subject="", from_list=(), to_list=(), cc_list=(), bcc_list=(), reply_to_list=(),
        preview="", sent_at=None, received_at=0, keywords=(), attachments=(), delivery_state=None,
        origin_mailbox_id=None, modseq=1, created_at=0, updated_at=0,
    )  # fmt: skip
    return Hit(message, MessageBody("m", [], "{}", text, html, new, None, [], {}))


async def test_the_stored_text_is_shown_and_html_only_where_that_has_not_the_words() -> None:
    found = await highlights(
        [
            hit(text="The invoices are here.", html="<p>invoice in HTML"),
            hit(html="<p>An invoice, new</p><p>quoted", new="An invoice, new"),
            hit(html="<p>New</p><blockquote>your invoice</blockquote>", new="New"),
            hit(html="<p>nothing"),
        ],
        "invoice",
    )
    assert [each.text for each in found] == [
        ("The **invoices** are here.",), ("An **invoice**, new",), ("New > your **invoice**",), (),
    ]  # fmt: skip


@pytest.mark.parametrize("unit", ["<b>x</b> ", "word{} ", "<p style='color:#{:06x}'>", "\u0316\u0301"])
async def test_hits_of_huge_mails_cost_no_more_than_those_of_large_ones(unit: str) -> None:
    def page(size: int) -> list[Hit]:
        html = "".join(unit.format(number) for number in range(size // len(unit)))
        return [hit(html=html, new=html)] * 5

    async def cost(size: int) -> float:
        hits = page(size)
        begun = process_time()
        await highlights(hits, "sought after")
        for each in hits:
            for text in ShownTexts().of(each.body):
                preview(text, {"sought"})
        return process_time() - begun

    await cost(10_000)
    small, large = max(await cost(400_000), 0.01), await cost(3_200_000)
    assert large < 3 * small


async def test_a_snippet_is_made_round_the_first_of_the_words() -> None:
    terms = {"drag"}
    text = "x " * 20_000 + "a dragon & a drag " + "y " * 500
    found = preview(text, terms)
    assert found is not None
    assert "a dragon &amp; a <mark>drag</mark> y" in found
    assert len(found.encode()) <= 255
    assert preview("nothing", terms) is None
    assert preview("anything", set()) is None


async def test_large_work_is_done_away_from_the_loop_and_small_work_at_once() -> None:
    def place() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    assert await aside(INLINE_BYTES, place)
    assert not await aside(INLINE_BYTES + 1, place)
