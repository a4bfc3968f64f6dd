"""Reads generated mails with whatever `posthouse` is on the path, and prints what it took. Run by `parse.py`."""

from __future__ import annotations

import base64
import quopri
import random
import sys
import time
from collections.abc import Iterator

from posthouse.wire.message import parse

_COUNT = 300
# The best of these counts: what else the machine does slows the others down.
_PASSES = 12
_WORDS = [
    "the",
    "offer",
    "we",
    "spoke",
    "about",
    "is",
    "attached",
    "please",
    "have",
    "a",
    "look",
    "and",
    "tell",
    "me",
    "whether",
    "Thursday",
    "suits",
    "you",
    "otherwise",
    "next",
    "week",
    "would",
    "be",
    "fine",
    "too",
    "Grüße",
    "aus",
    "Köln",
    "naïve",
    "café",
    "会議",
    "資料",
    "встреча",
    "завтра",
]


def _text(chance: random.Random, count: int) -> str:
    words = [chance.choice(_WORDS) for _ in range(count)]
    return "\n".join(" ".join(words[at : at + 12]) for at in range(0, count, 12)) + "\n"


def ordinary(number: int) -> bytes:
    """A mail such as people and programs send: plain, an answer, HTML beside text, with files."""
    chance = random.Random(number)
    text = _text(chance, chance.randrange(20, 400))
    head = (
        f"Received: from a.example by b.example; Tue, 5 Mar 2024 10:15:{number % 60:02d} +0100\n"
        f"From: =?utf-8?q?J=C3=BCrgen?= <j{number}@mail.example>\nTo: Ann Example <ann@agents.example>, bo@x.example\n"
        f"Subject: Re: Offer {number}\nDate: Tue, 5 Mar 2024 10:15:00 +0100\nMessage-ID: <{number}@mail.example>\n"
        f"References: <a{number}@x> <b{number}@x>\nMIME-Version: 1.0\n"
    )
    kind = number % 4
    if kind == 1:
        text += "\nOn Tue, 5 Mar 2024 at 09:00, Ann <ann@agents.example> wrote:\n" + "".join(
            f"> {line}\n" for line in _text(chance, 200).splitlines()
        )
    plain = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
    plain += quopri.encodestring(text.encode()).decode()
    if kind < 2:
        return (head + plain).encode()
    html = "<html><head><style>p{margin:0}</style></head><body>" + "".join(
        f'<p class="m">{line}</p>' for line in text.splitlines()
    )
    html += '<img src="cid:logo@x"></body></html>'
    both = f"Content-Type: multipart/alternative; boundary=a\n\n--a\n{plain}\n--a\n"
    both += "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    both += base64.encodebytes(html.encode()).decode() + "--a--\n"
    if kind == 2:
        return (head + both).encode()
    file = base64.encodebytes(chance.randbytes(chance.randrange(1_000, 40_000))).decode()
    return (
        f"{head}Content-Type: multipart/mixed; boundary=m\n\n--m\n{both}--m\nContent-Type: image/png; name=logo.png\n"
        f"Content-ID: <logo@x>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--m\n"
        f'Content-Type: application/pdf\nContent-Disposition: attachment; filename="offer.pdf"\n'
        f"Content-Transfer-Encoding: base64\n\n{file}--m--\n"
    ).encode()


def hostile() -> Iterator[tuple[str, bytes]]:
    """Mails that are meant to take long in one place: charsets, lists of addresses, containers."""
    head = b"Subject: x\nContent-Type: text/plain; charset="
    yield "circled-numbers", head + b"iso-2022-jp\n\n\x1b$B" + b"-!" * 400_000
    yield "broken-jis", head + b"iso-2022-jp\n\n\x1b$B" + b"!\x00" * 400_000
    yield "shifts", head + b"iso-2022-jp\n\n" + b"\x1b$B-!\x1b(Ba" * 39_000
    yield "broken-gbk", head + b"gbk\n\n" + b"\xff\xc4" * 400_000
    yield "broken-utf8", head + b"utf-8\n\n" + b"\xff\xe3\x81\x82" * 200_000
    yield "blanks", head + b"us-ascii\nContent-Transfer-Encoding: quoted-printable\n\n" + b" " * 800_000 + b"x"
    yield "encoded-addresses", b"From: " + b"=?utf-8?q?a=40b.example?=," * 9_000 + b"\n\nx"
    html = (
        b"Content-Type: multipart/related; boundary=m\n\n--m\nContent-Type: text/html\n\n" + b"<img src=cid:a>" * 20_000
    )
    parts = b"".join(b"\n--m\nContent-ID: <%d>\nContent-Location: %d\n\n" % (at, at) for at in range(900))
    yield "named-parts", html + parts
    many = b"".join(
        b"--m\nContent-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(b"\x30\x80" * 20_000)
        for _ in range(8)
    )
    yield "nested-ber", b"Content-Type: multipart/mixed; boundary=m\n\n" + many
    rtf = b"\0\0\0\0\xff\xff\xff\0LZFu\0\0\0\0" + b"\xff" * 600_000
    properties = b"\x01\0\0\0\x02\x01\x09\x10\x01\0\0\0" + len(rtf).to_bytes(4, "little") + rtf
    stream = b"\x78\x9f\x3e\x22\1\0\1\x03\x90\x06\0" + len(properties).to_bytes(4, "little") + properties
    yield (
        "rich-text",
        b"Content-Type: application/ms-tnef\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(stream),
    )


_SIZE = 1024 * 1024


def hostile_markup() -> Iterator[tuple[str, bytes]]:
    """Answers of a megabyte of markup, which are read for their text, for what is new in them, and for its text."""
    rules = "".join(f".c{at} .d{at % 7} > p.c{at % 50}{{color:red;display:none}}" for at in range(2_000))
    pages = {
        "tags": "<b>x</b>" * _SIZE,
        "nesting": "<div>" * _SIZE,
        "quotes": "<blockquote>x" * _SIZE,
        "tables": "<table><tr><td>" * _SIZE,
        "rows": "<table><tr><td><table>" + "<b>" * 60_000 + "</tr>" * 60_000,
        "attributes": ("<p " + " ".join(f"a{at}=1" for at in range(300)) + ">x") * 1_000,
        "styles": "".join(f'<p style="color:#{at:06x};font-size:{at}px">x' for at in range(25_000)),
        "rules": f"<style>{rules}</style>"
        + "".join(f'<p class="c{at % 50} c{at} d{at % 7}">x' for at in range(30_000)),
        "selectors": "<style>" + "td," * 80_000 + "p{color:red}</style>" + "<p>x" * _SIZE,
        "references": "&notit;&#x41;" * _SIZE,
        "comments": "<!---->" * _SIZE,
        "open-quotes": '<a b="' * _SIZE,
    }
    head = "Subject: Re: x\nIn-Reply-To: <a@b>\nContent-Type: text/html; charset=utf-8\n\n"
    for name, page in pages.items():
        yield name, (head + page[:_SIZE]).encode()


def main() -> None:
    """`rate`: ordinary mails a second of CPU; `trim`: likewise of answers; `markup` and `worst`: the slowest hostile mail and its CPU seconds."""
    if sys.argv[1] in ("rate", "trim"):
        mails = [ordinary(number) for number in range(_COUNT)]
        if sys.argv[1] == "trim":
            mails = [ordinary(4 * number + 1 + number % 3) for number in range(_COUNT)]
            mails = [mail.replace(b"MIME-Version", b"In-Reply-To: <a@x>\nMIME-Version", 1) for mail in mails]
        for mail in mails[:100]:
            parse(mail)
        passes = []
        for _ in range(_PASSES):
            began = time.process_time()
            for mail in mails:
                parse(mail)
            passes.append(time.process_time() - began)
        print(_COUNT / min(passes))
        return
    spent = {}
    for name, mail in hostile_markup() if sys.argv[1] == "markup" else hostile():
        began = time.process_time()
        parse(mail)
        spent[name] = time.process_time() - began
    print(spent, file=sys.stderr)
    worst = max(spent, key=lambda name: spent[name])
    print(worst, spent[worst])


if __name__ == "__main__":
    main()
