"""The forms by which old mail is told from new: moments, introductions of quotes, heads of messages, separators.

Nothing here goes by the verbs of a language alone: an introduction is what stands above a quote, names a moment or
an address and ends in a colon; a head is lines of fields, one with an address, one with a moment or a subject. Words
are listed only for what the form leaves open.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_LINE_CHARS = 400
_MAX_INTRODUCTION_LINES = 4
# Blanks, bold of plain text, and the marks of direction that stand round a colon in right-to-left mail.
_EDGES = " \t\r\xa0\u202f\u3000\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069*"

_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"']{1,80}@[^\s@<>()\[\],;:\"']{2,120}")
_BRACKETED = re.compile(r"[<(\[]\s?(?:mailto:)?[^\s@<>()\[\]]{1,80}@[^\s@<>()\[\]]{2,120}\s?[>)\]]")
_YEAR = re.compile(r"(?<![\d.,/-])(?:19|20|25)\d\d(?!\d)|\d{4}\s?[年년]")
_NUMERIC_DATE = re.compile(r"(?<!\d)\d{1,4}\s?([./-])\s?\d{1,2}\s?\1\s?\d{1,4}(?!\d)|\d{1,2}\s?[月월]\s?\d{1,2}")
_CLOCK = re.compile(
    r"(?<![\d:])\d{1,2}\s?[:.hH時时시]\s?\d{2}(?![\d.])|\d{1,2}\s?(?:[ap]\.?m\b|[時时点點시])", re.IGNORECASE
)
_DAY_AND_MONTH = re.compile(r"(?<!\d)\d{1,2}[.,]?\s(?:de\s)?[^\W\d_]{3,12}|[^\W\d_]{3,12}\.?\s\d{1,2}(?!\d)")
# That somebody said something: enough where a quote follows, or beside a moment or an address where none does.
_SAID = re.compile(
    r"\b(?:wrote|writes|said|says|schrieb|schreibt|geschrieben|écrit|escribió|escribio|ha scritto|scrive|escreveu|"
    r"schreef|skrev|kirjoitti|napisał(?:\(a\)|a)?|pisze|napsal(?:\(a\)|a)?|napísal(?:\(a\)|a)?|написал(?:\(а\)|а)?|"
    r"пишет|написав|пише|написала|yazdı|írta|a scris|đã viết|escrigué|έγραψε|menulis)(?!\w)"
    r"|写道|寫道|書きました|のメール|작성|쓴 글|כתב|كتب|เขียน",
    re.IGNORECASE,
)


def has_address(text: str) -> bool:
    """Whether a text names an address."""
    return "@" in text and _ADDRESS.search(text) is not None


def has_moment(text: str) -> bool:
    """Whether a text gives a moment: a year, a date in figures, or a time of day."""
    return bool(_YEAR.search(text) or _NUMERIC_DATE.search(text) or _CLOCK.search(text))


def has_full_moment(text: str) -> bool:
    """Whether a text gives both a day and a time of day."""
    return _CLOCK.search(text) is not None and bool(
        _YEAR.search(text) or _NUMERIC_DATE.search(text) or _DAY_AND_MONTH.search(text)
    )


# --- Introductions ----------------------------------------------------------------------------------


_BROKEN_OFF = re.compile(r" ?>[^>\n]{0,30}[:：]\s*")


def ends_bracket(line: str, above: str) -> bool:
    """Whether a line that seems quoted ends an address instead, which was broken before its `>`."""
    return _BROKEN_OFF.fullmatch(line) is not None and "@" in above and above.count("<") >= above.count(">")


def ends_in_colon(line: str) -> bool:
    """Whether a line may be the last of an introduction."""
    return line.rstrip(_EDGES).endswith((":", "：")) and len(line) <= MAX_LINE_CHARS


def introduction(above: Sequence[str], line: str, *, quote_follows: bool, is_first: bool) -> int:
    """How many lines introduce a quote, `line` the last of them; 0 when they do not.

    Args:
        above: the lines right above, without a blank one between; only the last are looked at.
        line: one that `ends_in_colon`.
        quote_follows: whether what stands below is marked as a quote. It takes less to believe it then.
        is_first: whether no quote was seen yet. Later ones seldom have an introduction: it is an answer, likely.
    """
    joined = line.strip(_EDGES)
    size = 1
    while size < _MAX_INTRODUCTION_LINES and size <= len(above):
        upper = above[-size].strip(_EDGES)
        if not upper or len(upper) + len(joined) > MAX_LINE_CHARS or not _goes_on(upper, joined):
            break
        joined = f"{upper} {joined}"
        size += 1
    if _introduces(joined, quote_follows=quote_follows, is_first=is_first):
        return size
    return 1 if quote_follows and is_first and _says(line.strip(_EDGES)) else 0


def _goes_on(upper: str, joined: str) -> bool:
    """Whether an introduction was broken between the two: the lower part alone is none."""
    if joined[0] in "<([,;>)" or joined.count(">") > joined.count("<") or joined.count(")") > joined.count("("):
        return True
    address, moment = has_address(joined), has_moment(joined)
    # `Bob <b@x.org> schrieb am Fr., 28.` above `Okt. 2024, 10:15:`
    if not address and _BRACKETED.search(upper) is not None and _SAID.search(joined) is None:
        return True
    if upper[-1] in ".!?。！？:：" and not has_full_moment(upper):
        return False
    if not address and not moment:
        return True
    if has_full_moment(joined):
        return not address and _BRACKETED.search(upper) is not None and upper[-1] in ">)],"
    few_words = sum(not any(map(str.isdigit, word)) for word in upper.split()) <= 5
    return has_moment(upper) and (few_words or upper[-1] == ",")


def _introduces(joined: str, *, quote_follows: bool, is_first: bool) -> bool:
    bracketed = _BRACKETED.search(joined) is not None
    if not quote_follows:
        if not bracketed and not has_moment(joined) and "@" not in joined:
            return False
        if _says(joined):
            return True
        return bracketed and has_full_moment(joined) and not _is_sentence(joined)
    if not is_first:
        return bracketed or (has_moment(joined) and _SAID.search(joined) is not None)
    return (bracketed or has_address(joined) or has_moment(joined)) and not ("?" in joined or "!" in joined)


def _says(joined: str) -> bool:
    """Whether a word of saying stands near the end, as it does in an introduction, or the rest is a name."""
    return any(
        len(joined) - found.end() < 20 or has_address(joined[found.end() :]) or has_moment(joined[: found.start()])
        for found in _SAID.finditer(joined)
    )


def _is_sentence(joined: str) -> bool:
    """Whether an address and a moment stand within words of the writer's own."""
    found = [each for each in (_BRACKETED.search(joined), _CLOCK.search(joined)) if each is not None]
    return min(each.start() for each in found) > 60 or len(joined) - max(each.end() for each in found) > 40


# --- Heads ------------------------------------------------------------------------------------------

_FROM, _DATE, _TO, _SUBJECT = "from", "date", "to", "subject"
_LABELS = {
    word: kind
    for kind, words in {
        _FROM: "from|von|de|da|van|od|fra|från|lähettäjä|от|від|kimden|gönderen|发件人|寄件者|寄件人|發件人|"
        "差出人|送信者|"
        "보낸 사람|보낸사람|feladó|από|מאת|من|จาก|từ|người gửi|dari|de la|expéditeur|remitente|mittente|remetente|"
        "afzender|absender|sender|odesílatel|nadawca|отправитель|saatja|nuo|no|pošiljatelj|avsender|afsender",
        _DATE: "sent|date|gesendet|datum|envoyé|envoyé le|date d'envoi|enviado|enviado el|enviada em|"
        "enviado em|fecha|"
        "data|inviato|verzonden|skickat|sendt|dato|lähetetty|päivämäärä|wysłano|odesláno|odoslané|отправлено|дата|"
        "надіслано|gönderildi|gönderilme tarihi|tarih|发送时间|发送日期|寄件日期|傳送時間|日期|日時|"
        "送信日時|送信日|日付|날짜|"
        "보낸 날짜|보낸날짜|elküldve|küldve|dátum|στάλθηκε|ημερομηνία|נשלח|תאריך|تاريخ الإرسال|تاريخ|"
        "التاريخ|ส่ง|วันที่|"
        "ngày|đã gửi|dikirim|tanggal|trimis|dată|saadetud|poslano|poslané|time|时间",
        _TO: "to|cc|bcc|an|kopie|kopi|à|a|cc/cci|para|aan|till|til|vastaanottaja|kopio|do|dw|komu|кому|копия|"
        "копія|kime|"
        "bilgi|收件人|抄送|宛先|받는 사람|받는사람|참조|címzett|másolatot kap|προς|κοιν|אל|עותק|إلى|"
        "نسخة|ถึง|สำเนา|đến|tới|"
        "kepada|către|reply-to|copie|destinataire|destinatario|destinatário|empfänger|ontvanger|副本|收件者|ke",
        _SUBJECT: "subject|betreff|objet|sujet|asunto|oggetto|assunto|onderwerp|ämne|emne|aihe|temat|předmět|predmet|"
        "тема|konu|主题|主旨|件名|제목|tárgy|θέμα|נושא|الموضوع|เรื่อง|หัวเรื่อง|chủ đề|tiêu đề|perihal|"
        "subjek|subiect|teema|"
        "tema|主題|re",
    }.items()
    for word in words.split("|")
}
# Labels of forms that people fill in.
_FORM_LABELS = re.compile(
    r"\b(?:name|e-?mail|mail|phone|tel|telefon|telephone|mobile|mobil|fax|web|website|www|url|https?|address|adresse|"
    r"company|firma|order|message|invoice|total|price|amount|iban|booking)\b",
    re.IGNORECASE,
)
_FIELD = re.compile(r"[\s*_|]*([^\W\d_][^:：|\t*\n]{0,38}?)[\s*_]*(?:[:：]|\|)[\s*_|]*(.*)", re.DOTALL)
_MAX_HEAD_LINES = 14


def field_of(line: str) -> tuple[str, str] | None:
    """The kind of a field that heads of messages have, "" where its label is in none of the lists, and its value."""
    if ":" not in line and "：" not in line and "|" not in line:
        return None
    match = _FIELD.match(line[:MAX_LINE_CHARS])
    if match is None:
        return None
    label, value = match.groups()
    label = " ".join(label.lower().split())
    kind = _LABELS.get(label)
    if kind is None and (label.count(" ") > 3 or value.startswith("//")):
        return None
    return kind or "", value if kind or not _FORM_LABELS.search(label) else _NO_HEAD


_NO_HEAD = "\0"


class Fields:
    """The fields among lines of text, each line read once."""

    __slots__ = ("_known", "lines")

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self._known: dict[int, tuple[str, str] | None] = {}

    def at(self, index: int) -> tuple[str, str] | None:
        """`field_of` a line."""
        if index not in self._known:
            self._known[index] = field_of(self.lines[index])
        return self._known[index]


def starts_head(known: Fields, index: int, *, fewest: int = 3) -> bool:
    """Whether the head of an old message begins here, with so many fields at least.

    Args:
        known: the fields among the lines, which are without quote marks.
        index: of the first field.
        fewest: 3; where a separator stands above, less will do.
    """
    lines, first = known.lines, known.at(index)
    if first is None:
        return False
    fields = [first]
    place, blanks = index + 1, 0
    last = min(len(lines), index + _MAX_HEAD_LINES)
    while place < last:
        line = lines[place]
        found = known.at(place)
        if found is not None:
            fields.append(found)
            blanks = 0
        elif not line.strip():
            blanks += 1
            if blanks > 1:
                break
        elif blanks or not (line[:1] in " \t" or lines[place - 1].rstrip().endswith((",", ";"))):
            break
        place += 1
    return _is_head(fields, fewest)


def _is_head(fields: list[tuple[str, str]], fewest: int) -> bool:
    kinds = {kind for kind, _ in fields if kind}
    known = sum(bool(kind) for kind, _ in fields)
    address = any(has_address(value) for _, value in fields)
    if _FROM in kinds and known >= fewest and (_DATE in kinds or _SUBJECT in kinds):
        return address or fewest < 3 or (_DATE in kinds and _SUBJECT in kinds)
    if len(fields) < 3 or any(value == _NO_HEAD for _, value in fields):
        return False
    # In a language the lists lack: an address and a moment among the first fields.
    early = [value for _, value in fields[:4]]
    return any(has_address(value) for value in early) and any(has_full_moment(value) for value in early)


# --- Separators -------------------------------------------------------------------------------------

RULE = re.compile(r"\s*[_=*\u2500-\u2501\u2014-]{3,}\s*")
_SEPARATOR = re.compile(r"\s*[-_=*\u2500\u2014]{2,}[\s>]*([^\W_][^\n]{0,200}?)\s*[-_=*\u2500\u2014]{2,}\s*")
_FORWARDED = re.compile(
    r"forward|weitergeleitet|transf[eé]r|reenviad|reexpedi|inoltrat|encaminhad|doorgestuurd|vidarebefordr|videresend|"
    r"välitet|przekazan|přeposl|preposlan|пересла|пересыла|перенаправл|iletil|továbbít|redirecționat|προωθ|הועבר|"
    r"المعاد|diteruskan|chuyển tiếp|转发|轉寄|轉發|転送|전달",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"origin|ursprüng|ursprung|oprindelig|opprinnelig|oorspronk|alkuperäi|původní|pôvodn|исходн|оригинал|початков|"
    r"eredeti|αρχικ|orijinal|özgün|izvorn|algne|asli|gốc|мקור|מקורי|الأصلي|ต้นฉบับ|repl(?:y|ied) message|"
    r"原始|原邮件|原郵件|原文|元の|원본|원래|回复的|回覆的",
    re.IGNORECASE,
)
_MESSAGE = re.compile(
    r"message|messag|mail|appointment|nachricht|mensaje|mensagem|bericht|meddelande|meddelelse|melding|viesti|"
    r"wiadomość|zpráva|správa|сообщени|письмо|повідомлення|üzenet|μήνυμα|ileti|poruka|mesaj|pesan|thư|"
    r"邮件|郵件|メッセージ|メール|메일|메시지|הודעה|رسالة|ข้อความ",
    re.IGNORECASE,
)


def is_forward_mark(line: str) -> bool:
    """Whether what stands below is handed on, and so part of what is new."""
    if len(line) > MAX_LINE_CHARS:
        return False
    # The form first: the words take longer to look for.
    if _SEPARATOR.fullmatch(line) is not None:
        return _FORWARDED.search(line) is not None
    if len(line) >= 60 or not line.rstrip(_EDGES).endswith(":"):
        return False
    return _FORWARDED.search(line) is not None and _MESSAGE.search(line) is not None


def is_separator(known: Fields, index: int) -> bool:
    """Whether a line of dashes round a few words stands above an old message."""
    lines = known.lines
    match = _SEPARATOR.fullmatch(lines[index][:MAX_LINE_CHARS])
    if match is None:
        return False
    words = match.group(1)
    following = next((place for place in range(index + 1, min(len(lines), index + 4)) if lines[place].strip()), -1)
    if len(words) <= 60 and _ORIGINAL.search(words) is not None:
        if _MESSAGE.search(words) is not None:
            return True
        if following > 0 and (known.at(following) or ("", ""))[0]:
            return True
    if (has_moment(words) or has_address(words)) and (_says(words) or (has_address(words) and has_full_moment(words))):
        return True
    return following > 0 and starts_head(known, following, fewest=2)


# --- Signatures -------------------------------------------------------------------------------------

_DEVICES = (
    r"iphon|ipad|ipod|android|samsung|galaxy|huawei|xiaomi|redmi|oneplus|google pixel|motorola|nokia|"
    r"xperia|blackberry|"
    r"windows phone|windows mail|windows 1[01]|fairphone|\bpixel \d|[45]g device|smartphone|handy\b|"
    r"스마트폰|휴대폰|mobiltelefon|mobile device|"
    r"mobile phone|mobiele telefoon|"
    r"móvil|telemóvel|celular|cellulare|téléphone|mobil\b|telefon"
)
_CLIENTS = (
    r"outlook|yahoo|gmail|proton ?mail|\bproton\b|tutanota|\btuta\b|thunderbird|k-9|fairemail|aquamail|bluemail|"
    r"spark mail|\bspark\b\W*\Z|readdle|airmail|superhuman|mailbird|edison mail|\baol\b|\bgmx\b|"
    r"web\.de|mail\.ru|yandex|"
    r"zoho mail|fastmail|icloud|canary mail|missive|\bhey\b\W*\Z|front\b\W*\Z|zimbra|\bmail für|mail for|mailspring|"
    r"postbox|mimestream|shortwave|\bspike\b|libero mail|mail orange|orange mail|яндекс|netease|网易|qq邮箱|foxmail"
)
_NAMED = re.compile(f"{_DEVICES}|{_CLIENTS}", re.IGNORECASE)
# That something is sent, by the beginning of a word, and by a part of the line.
_SENT_WORD = re.compile(
    r"\b(?:sen[td]|get|gesendet|geschickt|versendet|envoy|enviad|enviat|inviat|trimis|verzonden|verstuurd|skicka[td]|"
    r"lähetet|wysłan|odeslán|odoslan|отправлен|надіслан|изпратен|послат|poslan[oé]|elküldve|küldve|στάλθηκε|dikirim|"
    r"terkirim|saadetud)"
)
_SENT_PARTS = (
    "gönderil", "נשלח", "أرسل", "ارسل", "أُرسل", "إرسال", "送信", "发送", "发自", "發自", "傳送", "寄自", "보냄", "보냈",
    "에서 보낸", "ส่งจาก", "gửi từ", "được gửi",
)  # fmt: skip
_LINK = re.compile(r"[<(\[]?\s?https?://[^\s<>()\[\]]{1,500}\s?[>)\]]?")
_CONTENT = re.compile(r"\d{3,}|#|\d\s?[€$£%]")
_MOBILE_SYSTEM = re.compile(r"\b(?:ios|android|iphone|ipad|mobile)\b", re.IGNORECASE)
_ROUND_SIGNATURE = _EDGES + "_.()[]<>"


def is_device_signature(line: str) -> bool:
    """Whether a line says with which device or program the mail was sent, and nothing else."""
    if len(line) > MAX_LINE_CHARS:
        return False
    if "http" in line.lower():
        line = _LINK.sub(" ", line)
    line = line.strip(_ROUND_SIGNATURE)
    if len(line) > 90 or "," in line or "?" in line or line.count(" ") > 11:
        return False
    lower = line.lower()
    if not _says_sent(lower) and not (
        "outlook" in lower and line.count(" ") < 6 and _MOBILE_SYSTEM.search(line) is not None
    ):
        return False
    return _NAMED.search(line) is not None and _CONTENT.search(line) is None and not has_moment(line)


def _says_sent(lower: str) -> bool:
    return _SENT_WORD.search(lower) is not None or (not lower.isascii() and any(part in lower for part in _SENT_PARTS))
