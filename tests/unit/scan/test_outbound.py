"""What an agent sends is looked at whole, whatever it is wrapped in; what cannot be read is said."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from email.message import EmailMessage
from time import process_time

import pytest

from posthouse.scan import outbound
from posthouse.scan.outbound import is_held, judge
from posthouse.scan.passages import File, Letter, plain
from posthouse.scan.verdict import redacted

SECRETS = {
    "ob_ssn": "SSN 536-22-8714",
    "ob_credit_card": "card 4929 1234 5678 9015",
    "ob_password_value": "password: Harp1stLane",
    "ob_github_token": "ghp_" + "b7Kq2ZxW9vRtY4mLp8NcJ3hGf6SdAe1QiUoT",
}


def letter(text: str = "", html: str = "", files: list[File] | None = None, subject: str = "Hello") -> Letter:
    return Letter(subject, text, html, files or (), ("a@x.example",))


def rules_of(given: Letter) -> list[str]:
    return judge(given).rule_ids


def zipped(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def office(text: str) -> bytes:
    out = io.BytesIO()
    half = len(text) // 2
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        # Word cuts a run of text wherever it likes.
        runs = f"<w:r><w:t>{text[:half]}</w:t></w:r><w:r><w:t>{text[half:]}</w:t></w:r>"
        archive.writestr("word/document.xml", f"<w:document><w:body><w:p>{runs}</w:p></w:body></w:document>")
    return out.getvalue()


def tarred(text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("notes.txt")
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def pdf(text: str) -> bytes:
    packed = zlib.compress(f"BT /F1 12 Tf ({text}) Tj ET".encode())
    return b"%PDF-1.7\n1 0 obj <</Filter /FlateDecode>>\nstream\n" + packed + b"\nendstream\nendobj\n"


def mail(text: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@x.example", "b@x.example", "Fwd"
    message.set_content("see below")
    message.add_attachment(text.encode(), maintype="application", subtype="octet-stream", filename="x.bin")
    return message.as_bytes()


WRAPPINGS: dict[str, Callable[[str], Letter]] = {
    "subject": lambda text: letter(subject=f"Re: {text}"),
    "text": lambda text: letter(text=f"Hi,\n\n{text}\n\nBye"),
    "full width": lambda text: letter(
        text="".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    ),
    "zero width": lambda text: letter(text="\u200b".join(text)),
    "soft hyphens": lambda text: letter(text="\u00ad".join(text)),
    "other blanks and dashes": lambda text: letter(text=text.replace(" ", "\u00a0").replace("-", "\u2011")),
    "tag characters between": lambda text: letter(text="\U000e0041".join(text)),
    "base64": lambda text: letter(text="see " + base64.b64encode(f"for your eyes: {text}".encode()).decode()),
    "base64 twice": lambda text: letter(
        text=base64.b64encode(base64.b64encode(f"for your eyes: {text}".encode())).decode()
    ),
    "hexadecimal": lambda text: letter(text=f"for you: {text}".encode().hex()),
    "percent signs": lambda text: letter(text="".join(f"%{byte:02x}" for byte in text.encode())),
    "JSON": lambda text: letter(text='{"note": "a\\n' + text.replace('"', '\\"') + '\\n"}'),
    "html": lambda text: letter(html=f"<p>{text}</p>"),
    "html, every letter an element": lambda text: letter(html="".join(f"<b>{c}</b>" for c in text)),
    "html entities": lambda text: letter(html="".join(f"&#{ord(c)};" for c in text)),
    "hidden html": lambda text: letter(text="fine", html=f'<p>fine</p><div style="display:none">{text}</div>'),
    "a comment": lambda text: letter(text="fine", html=f"<p>fine</p><!-- {text} -->"),
    "an attribute": lambda text: letter(html=f'<img src="x" alt="{text}">'),
    "a text file": lambda text: letter(files=[File("notes.txt", "text/plain", text.encode())]),
    "a UTF-16 file": lambda text: letter(files=[File("notes.txt", "text/plain", text.encode("utf-16"))]),
    "a file called a picture": lambda text: letter(files=[File("cat.png", "image/png", text.encode())]),
    "zip": lambda text: letter(files=[File("a.zip", "application/zip", zipped("a/b.txt", text.encode()))]),
    "zip in zip": lambda text: letter(
        files=[File("a.dat", "application/octet-stream", zipped("b.zip", zipped("c.txt", text.encode())))]
    ),
    "gzip": lambda text: letter(files=[File("a.log.gz", "application/gzip", gzip.compress(text.encode()))]),
    "bzip2": lambda text: letter(files=[File("a.bz2", "application/x-bzip2", bz2.compress(text.encode()))]),
    "xz": lambda text: letter(files=[File("a.xz", "application/x-xz", lzma.compress(text.encode()))]),
    "tar in gzip": lambda text: letter(files=[File("a.tgz", "application/gzip", gzip.compress(tarred(text)))]),
    "an office file": lambda text: letter(files=[File("plan.docx", "application/msword", office(text))]),
    "a PDF": lambda text: letter(files=[File("plan.pdf", "application/pdf", pdf(text))]),
    "RTF": lambda text: letter(files=[File("plan.rtf", "text/rtf", rb"{\rtf1\ansi {\b " + text.encode() + rb"}\par}")]),
    "a mail": lambda text: letter(files=[File("fwd.eml", "message/rfc822", mail(text))]),
}  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("rule_id", SECRETS)
def test_a_secret_is_found_in_whatever_it_is_wrapped(wrapping: str, rule_id: str) -> None:
    given = WRAPPINGS[wrapping](SECRETS[rule_id])
    verdict = judge(given)
    assert rule_id in verdict.rule_ids
    assert is_held(verdict)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_same_wrapping_around_ordinary_words_is_no_finding(wrapping: str) -> None:
    assert not is_held(judge(WRAPPINGS[wrapping]("see you at the harbour on Friday at noon")))


def test_look_alike_letters_do_not_hide_a_word() -> None:
    assert "ob_password_value" in rules_of(letter("р\u0430ssword: Harp1stLane"))
    assert plain("\u043f\u0440\u0438\u0432\u0435\u0442 hello") == "\u043f\u0440\u0438\u0432\u0435\u0442 hello"


@pytest.mark.parametrize(
    "text",
    [
        "Please reset your password before Friday; a password must have twelve characters.",
        "Our office: +1 415 555 0134. Order 4929123456789012 was shipped on 2026-11-02 as 1Z999AA10123456784.",
        "The certificate:\n-----BEGIN CERTIFICATE-----\nMIIBszCCARygAwIBAgIBATANBgkqhkiG9w0BAQsFADAT\n-----END CERTIFICATE-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJxkq2mVnT0aW6rQ8c9m3h2u5vYp1sLr7eKdBfGhZtXo me@laptop",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 fixes it; see https://example.org/wiki/Token_ring",
        "export API_KEY=<your key>, or token: ${{ secrets.TOKEN }}, or Authorization: Bearer $TOKEN",
        "ISBN 978-3-16-148410-0, version 10.2.3.4 of the driver, MAC a9:9c:05:e5:10:10",
        "Meeting ID: 686 7777 8550. Join: https://meet.example.org/j/1549501779",
    ],
)  # fmt: skip
def test_what_people_write_every_day_is_not_held(text: str) -> None:
    assert not is_held(judge(letter(text)))


def test_what_could_not_be_read_is_a_finding_that_holds() -> None:
    locked = bytearray(zipped("a.txt", b"x" * 100))
    locked[6] |= 1  # the flag of an encrypted member, in both its places
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    bomb = zipped("zeros", b"\0" * 60_000_000)
    damaged = zipped("a.txt", b"words " * 2_000)[:-40]
    deep = b"the end"
    for _ in range(8):
        deep = zipped("inner.zip", deep)
    for data in (bytes(locked), bomb, damaged, deep, b"7z\xbc\xaf\x27\x1c rest", gzip.compress(b"x" * 90_000)[:-9]):
        verdict = judge(letter("fine", files=[File("file.zip", "application/zip", data)]))
        assert "ob_unreadable" in verdict.rule_ids
        assert is_held(verdict)


def test_a_picture_is_no_riddle() -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
    assert judge(letter("fine", files=[File("cat.png", "image/png", picture)])).findings == ()


@pytest.mark.parametrize(
    ("name", "content", "rule_id"),
    [
        ("server.key", b"x", "ob_sensitive_file"),
        ("ID_RSA", b"x", "ob_sensitive_file"),
        ("prod.env", b"x", "ob_sensitive_file"),
        ("vault.KDBX", b"x", "ob_sensitive_file"),
        ("dump.sql", b"x", "ob_data_dump"),
        ("table.csv", b"a,b", "ob_data_file"),
        ("chain.pem", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", None),
        ("notes.txt", b"x", None),
    ],
)
def test_a_file_is_judged_by_its_name_too(name: str, content: bytes, rule_id: str | None) -> None:
    found = rules_of(letter("fine", files=[File(name, "application/octet-stream", content)]))
    assert found == ([] if rule_id is None else [rule_id])


def test_a_finding_does_not_tell_the_secret() -> None:
    for secret in SECRETS.values():
        for finding in judge(letter(secret)).findings:
            value = secret.split(" ", 1)[-1]
            assert value not in finding.match
            assert len(finding.match) <= 80
    assert redacted("hunter2") == "h…"
    assert redacted("") == ""


def test_many_recipients_are_told_and_not_held() -> None:
    given = Letter("Hi", "fine", "", (), tuple(f"a{n}@x.example" for n in range(30)))
    assert judge(given).rule_ids == ["ob_many_recipients"]
    assert not is_held(judge(given))


@pytest.mark.parametrize(
    "piece",
    ["password: ", "1 2 3 4 5 6 7 8 9 ", "a@b,c;", "<b>", "%41", "QUJD", "-----BEGIN PRIVATE KEY-----", "\\n", "e\u0301\u0316",
     "postgres://a:", "Cookie: a=", "eyJ", "\u0430a ", "recovery phrase: ", "<!--", "date of birth 1", "4929 "],
)  # fmt: skip
@pytest.mark.parametrize("body", ["text", "html"])
def test_time_grows_with_the_text_whatever_is_repeated(piece: str, body: str) -> None:
    def cost(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        begun = process_time()
        judge(letter(text) if body == "text" else letter(html=text))
        return process_time() - begun

    judge(letter("warm"))
    small, large = max(cost(8_000), 0.004), cost(64_000)
    assert large < 8 * small * 4  # the square would be 64


def test_a_text_beyond_the_limit_is_not_taken_for_looked_at() -> None:
    verdict = judge(letter("word " * 1_000_000))
    assert "ob_unreadable" in verdict.rule_ids
    assert outbound.is_held(verdict)
