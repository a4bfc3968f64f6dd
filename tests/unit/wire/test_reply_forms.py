"""Introductions, heads, separators and signatures are told by their form, whatever the language."""

from __future__ import annotations

from time import process_time

import pytest

from posthouse.wire.html import to_text
from posthouse.wire.message import ParsedMessage, parse
from posthouse.wire.reply import answers, new_text
from posthouse.wire.reply_html import new_html

NEW = "Gern, am Montag um neun."
QUOTE = "> Wann passt es?\n>\n> Gruß, Post"
ADDRESS = "post.office.of.the.agents@long-name-of-a-house.example"


def mail(body: str, *, subject: str = "Re: Termin", kind: str = "text/plain", more: str = "") -> ParsedMessage:
    head = f"Subject: {subject}\n{more}Content-Type: {kind}; charset=utf-8\n\n"
    return parse((head + body).encode())


@pytest.mark.parametrize(
    "introduction",
    [
        f"пт, 12 июл. 2024 г. в 18:30, Post <{ADDRESS}>:",
        f"Post <{ADDRESS}> 於 2024年7月12日 週五 下午6:30寫道：",
        f"Στις Παρ 12 Ιουλ 2024 στις 6:30 μ.μ., ο χρήστης Post <{ADDRESS}> έγραψε:",
        f"\u202bבתאריך יום ו׳, 12 ביולי 2024 ב-18:30 מאת Post <\u202a{ADDRESS}\u202c>:\u202c",
        f"في الجمعة، ١٢ يوليو ٢٠٢٤ في ٦:٣٠ م تمت كتابة ما يلي بواسطة Post <{ADDRESS}>:",
        f"Vào Th 6, 12 thg 7, 2024 vào lúc 18:30 Post <{ADDRESS}> đã viết:",
        f"Pada tanggal Jum, 12 Jul 2024 pukul 18.30 Post <{ADDRESS}> menulis:",
        "12.07.2024 18:30, Post kirjutas:",
        f"Trích từ Post <{ADDRESS}>:",
        f"On Fri, 12 Jul 2024, 18:30 Post, <{ADDRESS}> wrote:",
        f"*On Fri, 12 Jul 2024 at 18:30, Post <{ADDRESS}> wrote:*",
        f"Am Freitag, dem 12. Juli 2024 um 18:30 Uhr hat Post <\n{ADDRESS}> Folgendes\ngeschrieben:",
        f"pá 12. 7. 2024 v 18:30 odesílatel Post <{ADDRESS}>\nnapsal:",
        f"Post <{ADDRESS}> schrieb am Fr., 12.\nJuli 2024, 18:30:",
        f"On Friday, July 12, 2024 at 6:30:15 PM Central European Summer Time,\nPost <{ADDRESS}> wrote:",
        f'Dnia 12 lipca 2024 18:30 "Post" <{ADDRESS}\n> napisał(a):',
        f"On Fri, Jul 12, 2024 at 6:30 PM Post\n\n<\nmailto:{ADDRESS}\n> wrote:",
        # In languages that no list of verbs here has, and wrapped.
        f"Post <{ADDRESS}> lausui perjantaina 12. heinäkuuta 2024 klo 18.30:",
        f"pe 12. heinäk. 2024 klo 18.30 Post\n<{ADDRESS}> sanoi näin:",
        f"ในวันที่ ศ. 12 ก.ค. 2567 เวลา 18:30 น. Post <{ADDRESS}> ได้ส่งข้อความว่า:",
        f"12 Temmuz 2024 Cuma günü saat 18:30 itibarıyla Post\n<{ADDRESS}> şöyle dedi:",
        f"\u200fبتاريخ ١٢/٧/٢٠٢٤ ١٨:٣٠ قال Post\n<{ADDRESS}>:",
        f"Ar Gw, 12 Gorff 2024 am 18:30, ysgrifennodd Post <{ADDRESS}>:",
        f"Mnamo Ijumaa, 12 Julai 2024 saa 18:30, Post <{ADDRESS}>\naliandika:",
        f"Á fös., 12. júl. 2024 kl. 18:30 skrifaði Post <{ADDRESS}>:",
        f"शुक्र, 12 जुल॰ 2024 को 6:30 pm बजे को Post <{ADDRESS}> ने लिखा:",
        f"ორშ, 12 ივლ. 2024, 18:30 — Post <{ADDRESS}> დაწერა:",
    ],
)
def test_what_stands_above_a_quote_introduces_it(introduction: str) -> None:
    for gap in ("\n", "\n\n"):
        assert new_text(f"{NEW}\n\n{introduction}{gap}{QUOTE}\n") == NEW
    assert new_text(f"{NEW}\n\n{introduction}\n{QUOTE}\n\nUnd danke.") == f"{NEW}\n\nUnd danke."


@pytest.mark.parametrize(
    "text",
    [
        "Bitte so:\n> alt",
        "Ja, Freitag.\nMeine Antwort steht hier:\n> alt",
    ],
)
def test_a_colon_alone_introduces_nothing(text: str) -> None:
    assert new_text(text) == text.removesuffix("\n> alt")


def test_words_of_ones_own_above_an_introduction_stay() -> None:
    said = f"Freitag geht es nicht.\nOn Fri, Jul 12, 2024 at 6:30 PM Post <{ADDRESS}> wrote:\n{QUOTE}"
    assert new_text(said) == "Freitag geht es nicht."
    between = "> Größe?\nSiehe Liste vom 3.7.2024:\n> Farbe?\nBlau."
    assert new_text(between) == "Siehe Liste vom 3.7.2024:\nBlau."


HEADS = [
    "Gesendet: Freitag, 12. Juli 2024 um 18:30 Uhr\nVon: Post <p@x.example>\nAn: a@b.example\nBetreff: Termin",
    "Subject: Termin\nTo: a@b.example\nFrom: p@x.example\nDate: Fri, 12 Jul 2024 18:30:00 +0200",
    "*Van:* Post <p@x.example>\n*Verzonden:* vrijdag 12 juli 2024 18:30\n*Aan:* Alex\n*Onderwerp:* Termin",
    "Από: Post <p@x.example>\nΣτάλθηκε: Παρασκευή, 12 Ιουλίου 2024 6:30 μμ\nΠρος: Alex\nΘέμα: Termin",
    "Mai i: Post <p@x.example>\nI tukuna: Paraire, 12 2024 18:30\nKi: Alex\nKaupapa: Termin",
    "________________________________\nFrom: Post <p@x.example>\nSent: Friday\nTo: a@b.example;\n c@d.example\nSubject: Termin",
    '------ Original Message ------\nFrom "Post" <p@x.example>\nTo a@b.example',
    '------------------\u00a0原始邮件\u00a0------------------\n发件人: "Post" <p@x.example>;\n主题: Termin',
    "---- Replied Message ----\n| From | Post<p@x.example> |\n| Date | 07/12/2024 18:30 |\n| To | a<a@b.example> |",
    "---- On Fri, 12 Jul 2024 18:30:00 +0200 Post <p@x.example> wrote ----",
    "-----p@x.example wrote: -----\nTo: a@b.example\nFrom: Post <p@x.example>\nDate: 07/12/2024 06:30PM\nSubject: Termin",
    "Aihe: Aika\nPäivämäärä: 12.7.2024 18.30\nVastaanottaja: a@b.example\nLähettäjä: Post <p@x.example>",
    "Konu: Zaman\nKimden: Post <p@x.example>\nTarih: 12 Temmuz 2024 18:30\nKime: a@b.example",
    "จาก: Post <p@x.example>\nส่ง: 12 กรกฎาคม 2024 18:30\nถึง: a@b.example\nเรื่อง: เวลา",
    "Þá: 12.7.2024 18:30\nFrá: Post <p@x.example>\nTil: a@b.example\nEfni: Tími",
    "---- En vie., 12 jul. 2024 18:30 Post <p@x.example> escribió ----",
    "-------- Messaggio originale --------\nOggetto: Orario\nData: 12/07/2024 18:30\nMittente: Post <p@x.example>",
    "---- 回复的原邮件 ----\n| 发件人 | Post<p@x.example> |\n| 日期 | 2024年07月12日 18:30 |\n| 主题 | x |",
    "=== Vorige Nachricht ===\nVon: Post <p@x.example>\nDatum: 12.7.2024\nAn: Alex",
]


@pytest.mark.parametrize("head", HEADS)
def test_an_old_message_is_known_by_its_head(head: str) -> None:
    assert new_text(f"{NEW}\n\n{head}\n\nWann passt es?\n") == NEW
    rows = "<br>".join(line.replace("<", "&lt;") for line in head.split("\n"))
    page = new_html(f"<div>{NEW}</div><hr><div><p>{rows}</p><p>Wann passt es?</p></div>")
    assert page == f"<div>{NEW}</div>"
    assert new_text(f"{head}\n\nWann passt es?\n") is None
    assert new_html(f"<body><div><br></div><div><p>{rows}</p></div><p>Wann passt es?</p></body>") is None


@pytest.mark.parametrize(
    "text",
    [
        "Bitte buchen:\n\nFrom: Wien\nTo: Graz\nDate: 3 May\nSeats: 2",
        "Abholung:\n\nVon: 8:30\nBis: 9:15\nDatum: 14.06.\n\nDanke",
        "Name: Kim\nEmail: kim@x.example\nDate: 12.7.2024 18:30\n\nZimmer: zwei",
        "--- Zusammenfassung ---\nAlles gut.",
        "--- Original price ---\n20 EUR",
        "a | b | c\n1 | 2 | 3\nx | y | z",
    ],
)
def test_lists_and_tables_of_an_answer_stay(text: str) -> None:
    assert new_text(text) == text
    assert mail(text).extracted_text == text


NOTHING_ANSWERED = [
    "From: Kim <kim@x.example>\nSubject: Preise\nDate: 3 May 2024 10:00\n\nWas kostet das?",
    "> so beginnt ein Gedicht\n> und so geht es weiter\n\n-- \nKim",
    "On Friday, 12 July 2024, Kim <kim@x.example> wrote:\n\nein Buch.",
    "Bericht\n\n-----Original Message-----\nTeil zwei",
]


@pytest.mark.parametrize("text", NOTHING_ANSWERED)
def test_a_mail_that_answers_nothing_loses_nothing(text: str) -> None:
    assert mail(text, subject="Preise").extracted_text == text
    page = (
        f'<div>Neu</div><div class="gmail_quote"><blockquote type=cite>{text.replace("<", "&lt;")}</blockquote></div>'
    )
    found = mail(page, subject="Preise", kind="text/html")
    assert found.extracted_html == page
    assert found.extracted_text == to_text(page)


@pytest.mark.parametrize(
    "subject",
    [
        "FW: Rechnung",
        "WG: AW: Rechnung",
        "[Liste] Fwd: Rechnung",
        "TR : Rechnung",
        "转发: 帐单",
        "ΠΡΘ: Rechnung",
        "İLT: Rechnung",
        "VL: Rechnung",
    ],
)
@pytest.mark.parametrize("head", HEADS)
def test_what_is_forwarded_is_no_quote(subject: str, head: str) -> None:
    more = "In-Reply-To: <a@b.example>\n"
    text = f"Bitte zahlen.\n\n{head}\n\nRechnung 88, 40 EUR."
    assert mail(text, subject=subject, more=more).extracted_text == text
    page = f'<p>Bitte zahlen.</p><div id="divRplyFwdMsg">{head.replace("<", "&lt;")}</div><p>Rechnung 88</p>'
    assert mail(page, subject=subject, more=more, kind="text/html").extracted_html == page


@pytest.mark.parametrize(
    "mark",
    [
        "---------- Forwarded message ---------",
        "Begin forwarded message:",
        "-------- Weitergeleitete Nachricht --------",
    ],
)
def test_a_forward_within_an_answer_stays_with_all_below(mark: str) -> None:
    text = f"Siehe unten.\n\n{mark}\nFrom: Kim <k@x.example>\nDate: 3 May 2024\nSubject: s\nTo: me\n\n> alt"
    assert new_text(text) == text


def test_which_mail_answers_another() -> None:
    assert answers("Re: x", is_threaded=False)
    assert answers("[Liste] AW: x", is_threaded=False)
    assert answers("x", is_threaded=True)
    assert answers("Re: Fwd: x", is_threaded=False)
    assert not answers("x", is_threaded=False)
    assert not answers("Fwd: Re: x", is_threaded=True)
    assert not answers("x (fwd)", is_threaded=True)


@pytest.mark.parametrize(
    "line",
    [
        "Sent from my iPad", "Von meinem Samsung Galaxy gesendet", "Envoyé de mon Xiaomi", "Отправлено с iPhone",
        "Lähetetty iPhonesta", "从我的iPhone发送", "iPhoneから送信", "나의 iPhone에서 보냄", "נשלח מה-iPhone שלי",
        "Gesendet mit der GMX Mail App", "Sent with Proton Mail secure email.", "Enviado desde Outlook para Android",
        "Outlook für iOS beziehen<https://aka.ms/o0ukef>", "Télécharger Outlook pour Android", "Sent via Superhuman",
        "Odesláno z iPhonu", "Wysłane z telefonu iPhone", "iPhone'umdan gönderildi", "تم الإرسال من iPhone الخاص بي", "ส่งจาก iPhone ของฉัน", "發自我的 iPhone", "스마트폰에서 보냄",
        "Sent from my Pixel 8", "Sent from my T-Mobile 5G Device", "Отправлено из мобильной Яндекс Почты",
        "Inviato da Libero Mail", "Lähetetty Samsung Galaxysta",
    ],
)  # fmt: skip
def test_the_signature_of_a_device_is_cut(line: str) -> None:
    assert new_text(f"{NEW}\n\n{line}\n") == NEW
    assert new_text(f"{NEW}\n\n{line}\n\nOn 12.7.2024 Post <p@x.example> wrote:\n{QUOTE}") == NEW


@pytest.mark.parametrize(
    "line",
    [
        "Sent via UPS, tracking 1Z999AA10123456784", "Verzonden met DHL op 3 mei", "Enviado por mensajero el lunes",
        "Gesendet von der Firma Muster, Beleg 77", "We need two iPads", "Please use Outlook for this, not Gmail.",
        "Lähetetty postissa tänään", "Get the phone from my desk", "Gönderildi: fatura 2024-118", "Sent from Berlin, see you",
        "Sent from our warehouse in Lyon", "Sent 3 Samsung phones, invoice 4411",
    ],
)  # fmt: skip
def test_a_last_line_that_says_something_stays(line: str) -> None:
    assert new_text(f"{NEW}\n\n{line}") == f"{NEW}\n\n{line}"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (('<div>Ja.</div><div name="quote"><div><b>Gesendet:</b> Montag<br><b>Von:</b> P &lt;p@x.example&gt;<br><b>An:</b>'
         ' a@b.example<br><b>Betreff:</b> T</div><div name="quoted-content">alt</div></div>'), "Ja."),
        ('<p>Ja.</p><p class="yahoo-quoted-begin">On Friday, Post wrote:</p><blockquote class="iosymail">alt</blockquote>',
         "Ja."),
        ('<div>Ja.</div><blockquote id="isReplyContent">alt</blockquote>', "Ja."),
        (('<div>Ja.</div><div class="ydp1yahoo_quoted" id="ydp1yahoo_quoted_9"><div>On Fri, P &lt;p@x.example&gt; wrote:'
         "</div><div>alt</div></div>"), "Ja."),
        ('<div>Ja.</div><div>12.07.2024, 18:30, "P" &lt;p@x.example&gt;:</div><blockquote><p>alt</p></blockquote>', "Ja."),
        (('Ja.<div name="messageReplySection">On Jul 12, 2024, 18:30 +0200, P &lt;p@x.example&gt;, wrote:<br>'
         '<blockquote type="cite">alt</blockquote></div>'), "Ja."),
        ('<div>Ja.</div><hr id="zwchr"><div><b>From: </b>P<br><b>To: </b>a<br><b>Sent: </b>Friday<br>alt</div>', "Ja."),
        (('<div>Eins</div><blockquote type="cite">alt</blockquote><div>Zwei</div><blockquote type="cite">alt</blockquote>'
         "<div>Drei</div>"), "Eins Zwei Drei"),
        (('<div class="gmail_quote"><div class="gmail_attr">On Fri P wrote:</div><blockquote class="gmail_quote">alt'
         '</blockquote><div>Ja.</div><blockquote class="gmail_quote">alt</blockquote>Nein.</div>'), "Ja. Nein."),
        ("<p>Ja.</p><p>-----Ursprüngliche Nachricht-----<br>Von: P</p><p>alt</p>", "Ja."),
        ("<p>Ja.</p>&gt; alt<br>&gt; alt<br>Nein.", "Ja. Nein."),
        ('Eins<blockquote type="cite">alt</blockquote>Zwei<blockquote type=cite>alt</blockquote><i>Drei</i>', "Eins Zwei Drei"),
        (('<div>Ja.</div><table border=0><tr><td>发件人：P&lt;p@x.example&gt;<br>发送日期：2024-07-12 18:30<br>'
         "收件人：a<br>主题：T</td></tr></table><div>alt</div>"), "Ja."),
        (('<p>Ja.</p><div data-marker="__QUOTED_TEXT__"><blockquote><b>From: </b>"P" &lt;p@x.example&gt;<br><b>Sent: </b>'
         "Friday, 12 July, 2024 18:30<br><b>Subject: </b>T<br>alt</blockquote></div>"), "Ja."),
        (('<div>Ja.<br><br>Lähetetty iPhonesta</div><div><blockquote type="cite">P &lt;p@x.example&gt; kirjoitti 12.7.2024:'
         "<br>alt</blockquote></div>"), "Ja."),
    ],
)  # fmt: skip
def test_quotes_of_many_mailers_are_cut_out_of_html(page: str, expected: str) -> None:
    found = mail(page, kind="text/html")
    assert found.extracted_html is not None
    assert "alt" not in found.extracted_html
    assert " ".join((found.extracted_text or "").split()) == expected
    assert found.preview == expected


@pytest.mark.parametrize(
    "box",
    ['class="gmail_quote gmail_quote_container"', 'class="yahoo_quoted"', 'class="protonmail_quote"', 'name="quote"'],
)
def test_what_was_typed_into_a_left_over_container_is_new(box: str) -> None:
    page = f"<div>Kim,</div><div {box}><div>danke für die Mail.</div><div>Bitte wähle einen Tag.</div></div>"
    found = mail(page, kind="text/html")
    assert found.extracted_html == page
    assert found.extracted_text == "Kim,\ndanke für die Mail.\nBitte wähle einen Tag."


def test_an_indented_passage_is_no_quote_in_text_either() -> None:
    page = '<p>Es gilt:</p><blockquote style="margin:0 0 0 40px">Paragraf eins</blockquote>'
    assert mail(page, kind="text/html").extracted_text == "Es gilt:\n\n> Paragraf eins"


def test_a_mail_of_nothing_but_an_old_message_has_neither_new_text_nor_preview() -> None:
    for page in (
        (
            '<div><br></div><div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>From:</b> P<br><b>Sent:</b> Friday'
            "<br><b>To:</b> a<br><b>Subject:</b> T</div><div>alt</div>"
        ),
        '<p>&nbsp;</p><div style="border:none;border-top:solid #B5C4DF 1.0pt"><p><b>Von:</b> P</p></div><p>alt</p>',
        '<div class="gmail_quote"><div class="gmail_attr">On Fri P wrote:</div><blockquote>alt</blockquote></div>',
    ):
        found = mail(page, kind="text/html")
        assert (found.extracted_text, found.extracted_html, found.preview) == (None, None, "")


@pytest.mark.parametrize(
    "unit",
    ["On 2024 @ wrote:\n", "x <\n", "From: a@b\nTo: x\n", "2024 10:30 a@b:\n\n", "> :\n", "--- original x ---\n", "|a|b|\n",
     "a@b <a@b> 1.1.2024 10:00 wrote:\n>\n", "-- \n", "Sent: x\n", "w: 1\n", "<" * 30 + ":\n", "原始邮件：\n"],
)  # fmt: skip
def test_the_cost_of_trimming_grows_with_the_size(unit: str) -> None:
    def cost(size: int) -> float:
        text = unit * (size // len(unit))
        page = f"<p>{text.replace('<', '&lt;').replace(chr(10), '<br>')}"
        begun = process_time()
        new_text(text)
        new_html(page)
        return process_time() - begun

    cost(2_000)
    small, large = max(cost(8_000), 0.004), cost(64_000)
    assert large < 8 * small * 4  # the square would be 64


@pytest.mark.parametrize(
    "unit",
    ["<div class=gmail_quote>", "<blockquote type=cite>x", "<p>On 2024 @ wrote:", "<div name=quote>a:<blockquote>"],
)
def test_the_cost_of_trimming_markup_grows_with_its_size(unit: str) -> None:
    def cost(size: int) -> float:
        begun = process_time()
        new_html(unit * (size // len(unit)))
        return process_time() - begun

    cost(2_000)
    small, large = max(cost(16_000), 0.004), cost(128_000)
    assert large < 8 * small * 4
