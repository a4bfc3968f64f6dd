"""What an agent sends: secrets, people's data, the owner's life, the inside of the house, files that carry them.

A judgement answers with findings; whether mail waits for the owner is decided by its worst one and the account's
level, elsewhere. What could not be read counts as a finding: nobody has looked at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from posthouse.kit.budget import Budget
from posthouse.scan import engine, opening
from posthouse.scan.engine import RuleSet
from posthouse.scan.opening import Unread
from posthouse.scan.passages import MAX_CHARS, File, Letter, Passage, of_html, plain, unwrapped
from posthouse.scan.verdict import SEVERITIES, Finding, Verdict, redacted

POINTS = {"low": 1, "medium": 5, "high": 40, "critical": 100}
HOLDS = frozenset({"high", "critical"})
# More recipients than one writes to by hand.
_MANY_RECIPIENTS = 20
_MAX_FINDINGS = 100

# By the last part of the name: files that are secrets, and files that hold records.
_SENSITIVE = frozenset(
    ["pem", "key", "p12", "pfx", "env", "credentials", "keystore", "jks", "p8", "kdbx", "kdb", "ppk", "ovpn", "asc",
     "gpg", "pgpass", "htpasswd", "netrc", "keytab", "agekey", "tfstate", "rdp", "wallet"]
)  # fmt: skip
_SENSITIVE_NAMES = frozenset(
    ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "wallet.dat", "credentials", "shadow", "passwd", ".netrc", ".pgpass",
     ".htpasswd", ".npmrc", ".pypirc", "authorized_keys", "kubeconfig", "secrets.yml", "secrets.yaml", "secrets.json",
     "service-account.json", "logins.json", "key4.db", "login data", "ntds.dit", "sam"]
)  # fmt: skip
_DATA = frozenset(
    ["db", "sqlite", "sqlite3", "sql", "csv", "tsv", "json", "yml", "yaml", "conf", "config", "ini", "mdb", "parquet"]
)
_DUMPS = frozenset(["sql", "db", "sqlite", "sqlite3", "mdb", "dump", "bak"])


@cache
def rules() -> RuleSet:
    """The rule set, read once."""
    return engine.load("outbound")


def judge(letter: Letter) -> Verdict:
    """Look at all of a message. Off the event loop; time is bounded and linear in its size."""
    found: dict[tuple[str, str, str], Finding] = {}
    for finding in _findings(letter):
        found.setdefault((finding.rule_id, finding.match, finding.severity), finding)
        if len(found) >= _MAX_FINDINGS:
            break
    ordered = sorted(found.values(), key=lambda finding: -SEVERITIES.index(finding.severity))
    return Verdict(sum(finding.points for finding in ordered), tuple(ordered))


def is_held(verdict: Verdict) -> bool:
    """Whether an account at `guarded` waits for the owner with it."""
    return any(finding.severity in HOLDS for finding in verdict.findings)


def _findings(letter: Letter) -> Iterator[Finding]:
    ruleset = rules()
    left = MAX_CHARS
    for piece in _pieces(letter):
        if isinstance(piece, Unread):
            yield _finding("ob_unreadable", "attachment_risk", "high", f"Could not be read: {piece.why}.", piece.name)
            continue
        if len(piece.text) > left:
            yield _finding("ob_unreadable", "attachment_risk", "high", "There is more text than is looked at.", "")
            piece = Passage(piece.place, piece.text[:left])
        left -= len(piece.text)
        for match in ruleset.matches(piece):
            rule = match.rule
            yield Finding(
                rule.id, rule.category, rule.severity, rule.description, redacted(match.value), match.place,
                POINTS[rule.severity],
            )  # fmt: skip
    yield from _of_files(letter.files)
    if len(letter.recipients) > _MANY_RECIPIENTS:
        total = len(letter.recipients)
        yield _finding("ob_many_recipients", "recipients", "low", f"It goes to {total} recipients.", "")


def _pieces(letter: Letter) -> Iterator[Passage | Unread]:
    """Every passage of the message, each followed by what is wrapped in it."""
    for piece in _bare(letter):
        if isinstance(piece, Unread):
            yield piece
            continue
        passage = Passage(piece.place, plain(piece.text[:MAX_CHARS]))
        yield passage
        yield from unwrapped(passage)


def _bare(letter: Letter) -> Iterator[Passage | Unread]:
    yield Passage("subject", letter.subject)
    if letter.header:
        yield Passage("header", letter.header)
    if letter.beside:
        yield Passage("beside the parts", letter.beside)
    if letter.text:
        yield Passage("text", letter.text)
    if letter.html:
        yield from of_html(letter.html)
    if letter.files:
        names = "\n".join(file.name for file in letter.files)
        yield Passage("the name of an attachment", names)
        yield from opening.texts_of(list(letter.files), Budget(opening.LIMITS))


def _of_files(files: Iterable[File]) -> Iterator[Finding]:
    for file in files:
        name = file.name.strip().lower().replace("\\", "/").rpartition("/")[2]
        ending = name.rpartition(".")[2]
        if (ending in _SENSITIVE and not _is_public(file)) or name in _SENSITIVE_NAMES:
            yield _finding(
                "ob_sensitive_file", "attachment_risk", "high", "A file of a kind that holds secrets.", file.name
            )
        elif ending in _DUMPS:
            yield _finding("ob_data_dump", "attachment_risk", "high", "A copy of a database.", file.name)
        elif ending in _DATA:
            yield _finding("ob_data_file", "attachment_risk", "medium", "A file of a kind that holds data.", file.name)


_PUBLIC_HEADS = (b"BEGIN CERTIFICATE", b"BEGIN PUBLIC KEY", b"BEGIN PGP PUBLIC", b"BEGIN PGP SIGNATURE")


def _is_public(file: File) -> bool:
    """A certificate or a public key, and nothing else."""
    head = file.content[:4_096]
    return b"-----BEGIN" in head and b"PRIVATE" not in file.content and any(word in head for word in _PUBLIC_HEADS)


def _finding(rule_id: str, category: str, severity: str, description: str, name: str) -> Finding:
    return Finding(rule_id, category, severity, description, name[:80], "attachment", POINTS[severity])
