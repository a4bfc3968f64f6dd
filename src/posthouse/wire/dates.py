"""Date fields, read: the instant, and the zone it was written in. Never fails.

Obeys RFC 5322 §3.3 and the obsolete forms of §4.3; what else senders write is read where it is certain. A year
outside 1 to 9999, in UTC, cannot be shown by RFC 3339 and is no date. Writing them is in `header_encode.py`.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from posthouse.kit.clock import MAX_AT, MIN_AT
from posthouse.wire.headers import unfold
from posthouse.wire.text import nfc

_ENGLISH = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Words for a month, as mailers abbreviate them and in full, each of which means one month only in all the languages
# that have it: "lip" (July in Polish, June in Croatian) and "listopad" (November, October) are left out.
_OTHER_WORDS = """
1 januar januari janvier janv enero ene gennaio gen janeiro jänner jän ianuarie ian styczeń stycznia sty leden
1 ledna január ocak oca tammikuu tammikuuta ιαν ιανουαρίου янв января січ січня яну януари 一月 1月 1월
2 februar februari février fevrier févr fevr fév febrero febbraio fevereiro fev februarie luty lutego únor února
2 úno február febr şubat şub helmikuu helmikuuta φεβ φεβρουαρίου фев февраля лют лютого февруари 二月 2月 2월
3 mars märz mär marzo março martie marzec marca březen března bře marec márc március mart maaliskuu maaliskuuta
3 μαρ μαρτίου мар марта бер березня март 三月 3月 3월
4 april avril avr abril abr aprile aprilie kwiecień kwietnia kwi duben dubna dub apríl ápr április nisan nis
4 huhtikuu huhtikuuta απρ απριλίου апр апреля кві квітня април 四月 4月 4월
5 mai mayo maggio mag maio maj maja květen května kvě máj május mayıs toukokuu toukokuuta μαι μαϊ μαΐ μαΐου μάι
5 мая май тра травня 五月 5月 5월
6 juni juin junio giugno giu junho iunie iun czerwiec czerwca cze červen června čvn jún június haziran haz
6 kesäkuu kesäkuuta ιουν ιουνίου июн июня чер червня юни 六月 6月 6월
7 juli juillet juil julio luglio lug julho iulie iul lipiec lipca červenec července čvc júl július temmuz tem
7 heinäkuu heinäkuuta ιουλ ιουλίου июл июля липня юли 七月 7月 7월
8 august août aout aoû aou agosto ago sierpień sierpnia srpna augusztus ağustos ağu elokuu elokuuta αυγ
8 αυγούστου авг августа сер серпня август 八月 8月 8월 sie avgust avg
9 september septembre sept septiembre settembre setembro septembrie wrzesień września wrz září zář szept
9 szeptember eylül eyl syyskuu syyskuuta σεπ σεπτεμβρίου сен сент сентября вер вересня сеп септември 九月 9月 9월
9 set
10 oktober okt octobre octubre ottobre ott outubro octombrie październik października paź říjen října říj október
10 ekim eki lokakuu lokakuuta οκτ οκτωβρίου окт октября жов жовтня октомври 十月 10月 10월
11 november novembre noviembre novembro noiembrie noi listopadu kasım kas marraskuu marraskuuta νοε νοεμβρίου ноя
11 нояб ноября листопада ное ноември 十一月 11月 11월
12 dezember dez décembre decembre déc diciembre dic dicembre dezembro decembrie grudzień grudnia gru prosinec
12 prosince pro desember des aralık ara joulukuu joulukuuta δεκ δεκεμβρίου дек декабря гру грудня декември 十二月
12 12月 12월
1 tammi jaan jaanuar يناير ינואר
2 helmi veebr veebruar فبراير פברואר
3 maalis märts مارس מרץ
4 huhti aprill أبريل ابريل אפריל
5 touko مايو
6 kesä juuni يونيو יוני
7 heinä juuli يوليو יולי
8 elo أغسطس اغسطس אוגוסט
9 syys سبتمبر ספטמבר
10 loka oktoober أكتوبر اكتوبر אוקטובר
11 marras نوفمبر נובמבר
12 joulu dets detsember ديسمبر דצמבר
"""
_MONTHS = {word: int(number) for number, *words in map(str.split, _OTHER_WORDS.strip().splitlines()) for word in words}
_MONTHS |= {word: number for number, word in enumerate(_ENGLISH, 1)}
# Minutes east of UTC. RFC 5322 §4.3; the one-letter zones were defined wrongly and mean nothing.
_ZONES = {
    "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420,
    "BST": 60, "CET": 60, "CEST": 120, "MET": 60, "MEST": 120, "EET": 120, "EEST": 180, "MSK": 180,
    "JST": 540,
}  # fmt: skip
_TIME = r"(\d{1,2})[:.](\d{1,2})(?:[:.](\d{1,2}))?(?:[.,]\d{1,9})?\s*([AaPp][Mm]\b)?"
_ZONE = r"\s*(?:\(?(?:(GMT|UTC|UT)?([+-]\d{1,2}:?\d{2}))|\(?([A-Za-z]{1,5})\b)?"
_WORD = r"[^\W\d_]{3,14}"
_DATE = re.compile(
    rf"(\d{{1,2}})[\s./-]*(?:de\s+)?({_WORD}|\d{{0,2}}[月월]|[一二三四五六七八九十]{{1,2}}月)\.?"
    rf"[\s./,-]*(?:de\s+)?(\d{{2,4}})[\s,T]+(?:at\s+)?{_TIME}{_ZONE}"
)
_ASCTIME = re.compile(rf"({_WORD})\.?\s+(\d{{1,2}}),?\s+{_TIME}\s*([A-Z]{{3,5}})?\s+(\d{{4}})(?:\s*([+-]\d{{4}}))?")
_MONTH_FIRST = re.compile(rf"({_WORD})\.?\s+(\d{{1,2}}),?\s+(\d{{4}})[\s,]+(?:at\s+)?{_TIME}{_ZONE}")
_ISO = re.compile(rf"(\d{{4}})-(\d{{1,2}})-(\d{{1,2}})[\sT]+{_TIME}{_ZONE}")
_COMMENT = re.compile(r"\([^()]*\)")
_AROUND_COLON = re.compile(r"\s*:\s*")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MINUTES_A_DAY = 24 * 60


class Moment(NamedTuple):
    """What a Date field says.

    Attributes:
        at: ms UTC.
        zone: minutes east of UTC, where the field says so as RFC 5322 §3.3 has it (`+0100`) and in no other way as
            well; else 0.
    """

    at: int
    zone: int


def parse_date(text: str) -> int | None:
    """A Date field as milliseconds UTC; None when no date can be made out of it. As `read_date`."""
    moment = read_date(text)
    return None if moment is None else moment.at


def read_date(text: str) -> Moment | None:
    """What a Date field says; None when no date can be made out of it.

    Reads RFC 5322 §3.3 with the obsolete forms of §4.3, and the forms of asctime, of ISO 8601 and of some
    clients, with the months of many languages. No zone, or an unknown one, is taken as UTC; 24:00 and 23:59:60
    roll over.
    """
    text = unfold(text[:512])
    if not text.isascii():
        text = nfc(text)
    is_commented = "(" in text
    if is_commented:
        text = _AROUND_COLON.sub(":", _COMMENT.sub(" ", text).replace("(", " "))
    if (match := _DATE.search(text)) is not None:
        day, month, year, hour, minute, second, half, prefix, offset, zone = match.groups()
        at = _instant(year, month, day, hour, minute, second, half, offset, zone)
        # Only a date-time of RFC 5322 §3.3 and nothing more has a zone to keep: what else is there, a comment or
        # `GMT` before the offset, says it once more, and not always the same.
        east = _offset(offset) if offset and not prefix and not is_commented and ":" not in offset else 0
        return None if at is None else Moment(at, east if abs(east) < _MINUTES_A_DAY else 0)
    at = None
    if (match := _ISO.search(text)) is not None:
        year, month, day, hour, minute, second, half, _, offset, zone = match.groups()
        at = _instant(year, month, day, hour, minute, second, half, offset, zone)
    elif (match := _MONTH_FIRST.search(text)) is not None:
        month, day, year, hour, minute, second, half, _, offset, zone = match.groups()
        at = _instant(year, month, day, hour, minute, second, half, offset, zone)
    elif (match := _ASCTIME.search(text)) is not None:
        month, day, hour, minute, second, half, zone, year, offset = match.groups()
        at = _instant(year, month, day, hour, minute, second, half, offset, zone)
    return None if at is None else Moment(at, 0)


def _month(word: str) -> int:
    """The number of a month; 0 for a word that means none, or in two languages two."""
    if word.isdecimal():
        return int(word)
    word = word.lower()
    known = _MONTHS.get(word)
    if known is not None:
        return known
    return _ENGLISH.index(word[:3]) + 1 if word[:3] in _ENGLISH else 0


def _offset(offset: str) -> int:
    digits = offset[1:].replace(":", "").zfill(4)
    return (int(digits[:-2]) * 60 + int(digits[-2:])) * (-1 if offset[0] == "-" else 1)


def _instant(
    year: str,
    month: str,
    day: str,
    hour: str,
    minute: str,
    second: str | None,
    half: str | None,
    offset: str | None,
    zone: str | None,
) -> int | None:
    number = int(year)
    if len(year) == 2:
        number += 2000 if number < 50 else 1900  # RFC 5322 §4.3
    elif len(year) == 3:
        number += 1900
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    if half and hours <= 12:
        hours = hours % 12 + (12 if half.lower() == "pm" else 0)
    if hours > 24 or minutes > 59 or seconds > 60:
        return None
    east = 0
    if offset:
        east = _offset(offset)
    elif zone:
        east = _ZONES.get(zone.upper(), 0)
    try:
        days = date(number, _month(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    at = (((days * 24 + hours) * 60 + minutes - east) * 60 + seconds) * 1000
    return at if MIN_AT <= at <= MAX_AT else None
