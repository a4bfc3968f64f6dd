"""What is new in a reply: the text above, below or between the quotes, without the signature.

Works line by line in linear time. Published reply parsers are piles of backtracking expressions; one took 23
seconds on 20 KB of empty lines, which any sender could mail us.

There is no standard for any of this but the signature line (RFC 3676 §4.3); the attribution lines and header
blocks are those of the common clients in the languages listed.
"""

from __future__ import annotations

import re

from posthouse.wire.html import MAX_HTML_CHARS, to_text
from posthouse.wire.html_tokens import CLOSE, OPEN, TEXT, VOID, Elements, attributes, tokens

# Longer texts are returned whole: nobody types that much, and what is quoted in it cannot be told by its form.
MAX_TEXT_CHARS = 256 * 1024
_MAX_LINE_CHARS = 400

# en de fr es it pt nl sv da/no fi pl cs sk ru uk tr hu ro
_OPENERS = (
    r"On|Am|Le|El|Il|Em|A|Op|Den|På|Pe|W dniu|Dnia|Dne|Dňa|Na|Vào|Пн|Вт|Ср|Чт|Пт|Сб|Вс|"
    r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}[. ]\s?\w{3,12}|\w{2,4}\.,? \d{1,2}"
)
_WROTE = (
    r"wrote|writes|schrieb|hat geschrieben|a écrit|escribió|escribio|ha scritto|escreveu|schreef|skrev|"
    r"kirjoitti|napisał(?:\(a\)|a)?|pisze|napsal(?:\(a\)|a)?|napísal(?:\(a\)|a)?|написал(?:\(а\)|а)?|пишет|"
    r"написав|написала|yazdı|írta|a scris|đã viết"
)
_ATTRIBUTION = re.compile(rf"[\s*]*(?:{_OPENERS})\b.{{0,300}}?\b(?:{_WROTE})(?!\w).{{0,160}}\s*[:：]", re.IGNORECASE)
# `Bob <b@x.org> wrote:` without a date.
_ATTRIBUTION_SHORT = re.compile(rf"[^:]{{1,200}}\b(?:{_WROTE})\s*[:：]", re.IGNORECASE)
_ATTRIBUTION_END = re.compile(rf"\b(?:{_WROTE})(?!\w)[^:]{{0,60}}[:：]\Z", re.IGNORECASE)
# Gmail in several languages leaves out the verb; Chinese, Japanese and Korean clients have forms of their own.
_ATTRIBUTION_BARE = re.compile(
    r"\s*(?:\d{4}[-./年]\s?\d{1,2}[-./月]\s?\d{1,2}.{0,120}<[^<>\s]{1,120}@[^<>\s]{1,120}>.{0,20}[:：]"
    r"|(?:在|于|於)?\s?\d{4}\s?年.{0,200}(?:写道|寫道|書きました|のメール)\s?[:：]"
    r"|\d{4}년.{0,200}(?:작성|님이 쓴 글)[^:]{0,12}:)"
)
_HAS_DATE_OR_ADDRESS = re.compile(r"\d{1,4}[./:\-]\d|\b(?:19|20)\d\d\b|@|\d{1,2}\.? \w{3}|\w{3} \d{1,2}\b")
_SEPARATOR = re.compile(
    r"\s*-{2,}\s*(?:original message|original appointment|reply message|ursprüngliche nachricht|"
    r"originalnachricht|message d['’]origine|message original|mensaje original|messaggio originale|"
    r"mensagem original|oorspronkelijk bericht|ursprungligt meddelande|oprindelig meddelelse|"
    r"opprinnelig melding|alkuperäinen viesti|wiadomość oryginalna|původní zpráva|исходное сообщение|"
    r"original-nachricht|原始邮件|元のメッセージ|원본 메일)\s*-{2,}\s*",
    re.IGNORECASE,
)
_RULE = re.compile(r"\s*[_-]{20,}\s*")
_FROM_FIELD = re.compile(
    r"[\s>*_]*(?:from|von|de|da|van|od|fra|från|lähettäjä|от|від|kimden|发件人|寄件者|差出人|보낸 ?사람)\s*"
    r"[*_]*\s?[:：][*_]*\s*\S",
    re.IGNORECASE,
)
_OTHER_FIELD = re.compile(
    r"[\s>*_]*(?:sent|date|to|cc|subject|reply-to|gesendet|datum|an|betreff|envoyé|à|objet|enviado(?: el)?|"
    r"fecha|para|asunto|inviato|data|a|oggetto|assunto|verzonden|aan|onderwerp|skickat|till|ämne|sendt|til|"
    r"emne|lähetetty|vastaanottaja|aihe|wysłano|do|temat|odesláno|komu|předmět|отправлено|дата|кому|тема|"
    r"gönderildi|kime|konu|发送时间|收件人|主题|日時|宛先|件名|送信日時|날짜|받는 ?사람|제목)\s*[*_]*\s?[:：]",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"\s?--\s?")
_SENT_FROM = re.compile(
    r"\s*(?:sent from (?:my|mail for|outlook|yahoo|proton|gmail|samsung)|get outlook for|sent via |"
    r"gesendet von|von meinem .{1,40} gesendet|envoyé (?:de|depuis) |enviado (?:desde|do meu|de mi) |"
    r"inviato da|verzonden (?:vanaf|met)|skickat från|sendt fra|lähetetty |wysłano z|odesláno z|отправлено (?:с|из) )",
    re.IGNORECASE,
)


def new_text(text: str) -> str | None:
    """What the sender of a reply wrote himself.

    Quoted lines, the line that introduces them, the header block and all below it that Outlook-like clients
    leave, and the signature are cut; text between and below quotes stays. A forwarded message is not a quote.

    Args:
        text: the plain text of the message, lines ending with LF.

    Returns:
        The text, or None when there is nothing but quotes, or nothing at all.
    """
    if not text or text.isspace():
        return None
    if len(text) > MAX_TEXT_CHARS:
        return text.strip()
    if not _may_hold_quotes(text):
        return "\n".join(_without_signature(text.strip("\n \t").split("\n"))).strip()
    kept = _without_signature(_without_quotes(text.split("\n")))
    return "\n".join(kept).strip("\n \t\r") or None


def _may_hold_quotes(text: str) -> bool:
    """A cheap look at the whole first: most mail has none of these."""
    return (
        "\n>" in text
        or "\n >" in text
        or "--" in text
        or ":\n" in text
        or ": \n" in text
        or ":*\n" in text
        or "：" in text
        or text.count(":") > 2
        or text.startswith(">")
        or text.endswith(":")
    )


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    index, count = 0, len(lines)
    dropped = False  # quotes were dropped since: no blank lines pile up where they stood
    has_text = False
    while index < count:
        line = lines[index]
        if line[:1] == ">" or line[:2] == " >":
            index, dropped = index + 1, True
            continue
        if ":" in line or "--" in line or "：" in line:
            cut, above, index_after = _introduction(lines, index, kept)
            if cut:
                # With nothing above it, what follows is an answer below a quote that is not marked as one.
                if cut == _REST and has_text:
                    break
                if above:
                    del kept[-above:]
                index, dropped = index_after, True
                has_text = any(map(str.strip, kept[-4:])) or (has_text and len(kept) > 4)
                continue
        if line.strip():
            has_text = True
            kept.append(line)
        elif not kept or kept[-1].strip() or not dropped:
            kept.append(line)
        index += 1
    while kept and (not kept[-1].strip() or _RULE.fullmatch(kept[-1][:_MAX_LINE_CHARS])):
        kept.pop()
    return kept


_NOTHING, _LINES, _REST = 0, 1, 2


def _introduction(lines: list[str], index: int, kept: list[str]) -> tuple[int, int, int]:
    """Whether the line introduces a quote below it, or an old message that goes on to the end.

    Returns:
        What it asks to cut, how many of the lines kept so far belong to it, and where to go on.
    """
    line = lines[index]
    if "--" in line and _SEPARATOR.fullmatch(line[:_MAX_LINE_CHARS]):
        return _REST, 0, index + 1
    if _is_header_block(lines, index):
        index += 1
        while index < len(lines) and _OTHER_FIELD.match(lines[index][:_MAX_LINE_CHARS]):
            index += 1
        return _REST, 0, index
    following = index + 1
    while following < len(lines) and following < index + 5 and not lines[following].strip():
        following += 1
    quote_follows = following < len(lines) and lines[following].lstrip().startswith(">")
    size = _attribution_lines(kept, line, quote_follows)
    if not size:
        return _NOTHING, 0, index
    return _LINES if quote_follows else _REST, size - 1, index + 1


def _attribution_lines(above: list[str], line: str, quote_follows: bool) -> int:
    """How many lines, at most three and `line` the last, introduce a quote; 0 when they do not.

    Where a quote follows, it takes less to believe it.
    """
    joined = line.strip(" \t\r*")
    if not joined.endswith((":", "：")) or len(joined) > _MAX_LINE_CHARS:
        return 0
    last = joined
    for size in range(1, 4):
        if _HAS_DATE_OR_ADDRESS.search(joined) and (
            _ATTRIBUTION.fullmatch(joined) or _ATTRIBUTION_BARE.fullmatch(joined)
        ):
            return size
        if len(above) < size or not above[-size].strip():
            break
        joined = f"{above[-size].strip()} {joined}"
        if len(joined) > _MAX_LINE_CHARS:
            break
    if quote_follows:
        return 1 if _ATTRIBUTION_END.search(last) else 0
    return 1 if "@" in last and _ATTRIBUTION_SHORT.fullmatch(last) else 0


def _is_header_block(lines: list[str], index: int) -> bool:
    """`From: …` and at least two more fields right below: the head of the old message."""
    if not _FROM_FIELD.match(lines[index][:_MAX_LINE_CHARS]):
        return False
    # The first fields of a forwarded message stand below its separator, and are no quote.
    above = next((line for line in reversed(lines[max(0, index - 3) : index]) if line.strip()), "")
    if "orward" in above or "weitergeleitet" in above.lower() or "transféré" in above.lower():
        return False
    found = 0
    for line in lines[index + 1 : index + 9]:
        if _OTHER_FIELD.match(line[:_MAX_LINE_CHARS]):
            found += 1
    return found >= 2


def _without_signature(lines: list[str]) -> list[str]:
    seen_text = False
    for index, line in enumerate(lines):
        # RFC 3676 §4.3 has a blank behind the dashes; many clients lose it.
        if seen_text and "--" in line and len(line) < 6 and _SIGNATURE.fullmatch(line):
            lines = lines[:index]
            break
        seen_text = seen_text or bool(line.strip())
    filled = [index for index in range(max(0, len(lines) - 6), len(lines)) if lines[index].strip()]
    for index in filled[-2:]:
        if index and len(lines[index]) < 120 and _SENT_FROM.match(lines[index]):
            return lines[:index]
    return lines


# --- HTML -------------------------------------------------------------------------------------------

# Containers of quotes and signatures, by class and by id. Gmail, Thunderbird, Apple, Yahoo, Proton, Tuta, Zoho, Front…
_CUT_CLASSES = frozenset(
    ["gmail_quote", "gmail_quote_container", "gmail_extra", "gmail_signature", "gmail_attr", "moz-cite-prefix",
     "moz-signature", "yahoo_quoted", "yahoo-quoted-begin", "protonmail_quote", "protonmail_signature_block",
     "tutanota_quote", "zmail_extra", "front-blockquote", "hm-quote", "reply-quote", "quoted-text",
     "missive_quote", "superhuman-quote", "x_gmail_quote", "ydp-quoted", "airmail_on", "bloop_original_html"]
)  # fmt: skip
_CUT_IDS = frozenset(["isForwardContent", "OLK_SRC_BODY_SECTION", "Signature", "ms-outlook-mobile-signature"])
# From these on, everything is the old message (Outlook on the web, Outlook.com, Outlook for phones).
_REST_IDS = frozenset(["divRplyFwdMsg", "appendonsend", "stopSpelling", "mail-editor-reference-message-container"])
_OUTLOOK_LINE = re.compile(r"border:\s*none;\s*border-top:\s*solid\s+#(?:E1E1E1|B5C4DF)", re.IGNORECASE)
_INTERESTING = re.compile(r"class|id\s*=|type|border-top", re.IGNORECASE)
_FORWARD = re.compile(r"-{3,}\s*Forwarded message|Begin forwarded message|Weitergeleitete Nachricht", re.IGNORECASE)
_FORWARD_WINDOW = 600


def new_html(html: str) -> str | None:
    """The HTML of a reply without the containers of quotes and signatures; the rest byte for byte.

    The result may leave elements open; `html.sanitize` closes them.

    Args:
        html: the HTML of the message; longer than `MAX_HTML_CHARS`, it is returned whole.

    Returns:
        The markup, or None when no text would be left.
    """
    if not html or html.isspace():
        return None
    if len(html) > MAX_HTML_CHARS:
        return html
    cuts = _html_cuts(html)
    if not cuts:
        return html
    out, position = [], 0
    for start, end in cuts:
        out.append(html[position:start])
        position = end
    out.append(html[position:])
    result = "".join(out)
    return result if to_text(result).strip() else None


def _html_cuts(html: str) -> list[tuple[int, int]]:
    cuts: list[tuple[int, int]] = []
    elements = Elements()
    height = cut_start = -1  # of the element being cut, and where its tag begins

    def pop(count: int, end: int) -> None:
        nonlocal height
        for _ in range(count):
            if len(elements.names) == height:
                cuts.append((cut_start, end))
                height = -1
            elements.pop()

    for kind, start, end, name, rest in tokens(html):
        if kind == TEXT:
            continue
        if kind == CLOSE:
            count = elements.closed_by_end(name)
            own = height > 0 and len(elements.names) - count == height - 1
            pop(count, end if own else start)
            continue
        assert kind == OPEN
        pop(elements.implied(name), start)
        if name in VOID:
            if height < 0 and name == "hr" and "stopSpelling" in rest:
                cuts.append((start, _end_of_body(html, start)))
                return cuts
            continue
        elements.push(name)
        if height >= 0:
            continue
        what = _cut_of(name, rest)
        if what == "rest":
            cuts.append((start, _end_of_body(html, start)))
            return cuts
        if what == "element" and not _FORWARD.search(html, end, end + _FORWARD_WINDOW):
            height, cut_start = len(elements.names), start
    if height >= 0:
        cuts.append((cut_start, len(html)))
    return cuts


def _cut_of(name: str, rest: str) -> str:
    """What a start tag asks for: nothing, that its element is cut, or everything from here on."""
    if not rest or not _INTERESTING.search(rest):
        return ""
    found = attributes(rest)
    if found.get("id", "").removeprefix("x_") in _REST_IDS:
        return "rest"
    if name == "div" and _OUTLOOK_LINE.search(found.get("style", "")[:400]):
        return "rest"
    if name == "blockquote" and found.get("type", "").lower() == "cite":
        return "element"
    if found.get("id", "").removeprefix("x_") in _CUT_IDS:
        return "element"
    classes = found.get("class", "")
    if classes and not _CUT_CLASSES.isdisjoint(classes.lower().split()):
        return "element"
    return ""


def _end_of_body(html: str, start: int) -> int:
    end = html.lower().rfind("</body", start)
    return len(html) if end < 0 else end
