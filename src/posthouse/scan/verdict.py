"""What a scan answers: findings, and the score they come to."""

from __future__ import annotations

from dataclasses import dataclass

# From what is only told to what is never let through unseen.
SEVERITIES = ("low", "medium", "high", "critical")
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason.

    Attributes:
        rule_id: stable; the words of its rule explain it.
        severity: one of `SEVERITIES`.
        match: what was found, redacted: enough to recognise it, too little to use it.
        place: where: `subject`, `text`, `html`, `attachment NAME`, with what it was taken out of behind it.
        points: what it adds to the score.
    """

    rule_id: str
    category: str
    severity: str
    description: str
    match: str
    place: str
    points: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement: `findings` in the order of their weight, and the score they come to."""

    score: int
    findings: tuple[Finding, ...] = ()

    @property
    def rule_ids(self) -> list[str]:
        """The rules that were met, each once, the weightiest first."""
        return list(dict.fromkeys(finding.rule_id for finding in self.findings))


def redacted(text: str) -> str:
    """A found value as people may see it: its ends, and how long it was.

    Of short values nothing is shown but the first character: half of a PIN is too much.
    """
    text = " ".join(text.split())
    if len(text) <= 8:
        return text[:1] + "…" if text else ""
    ends = 4 if len(text) >= 20 else 2
    return f"{text[:ends]}…{text[-2:]} ({len(text)} characters)"[:_SHOWN]
