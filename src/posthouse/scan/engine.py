"""Rules held against texts: a keyword search picks the rules that can match, RE2 matches them, checks decide.

Both take time linear in the text, whatever the pattern: RE2 has no backtracking. A rule file says what is looked
for; each rule carries a text that it meets and a twin that it does not, and a test runs them all.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, NamedTuple

import ahocorasick_rs
import re2

from posthouse.scan import checks
from posthouse.scan.passages import Passage

# Matches of one rule in one passage; more say nothing new.
_MAX_MATCHES = 20
_NEAR = 80
_WORD = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a rule file.

    Attributes:
        id: what is reported; several rules may report the same.
        name: tells rules of one id apart.
        keywords: in lower case; the pattern is tried only in texts that hold one of them. Empty: in all.
        check: a name of `checks.CHECKS`, asked about the first group, or the whole match without one.
        near: words of which one must stand within `_NEAR` characters of the match, in lower case.
        places: only in passages whose place begins with one of these; empty is everywhere.
        least: how many different values there must be in one passage.
        points: for judgements that add up.
        hit, clean: a text that meets the rule, and one like it that does not.
    """

    id: str
    name: str
    category: str
    severity: str
    description: str
    pattern: Any
    keywords: tuple[str, ...] = ()
    check: str = ""
    near: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    least: int = 1
    points: int = 0
    hit: str = ""
    clean: str = ""


class Match(NamedTuple):
    """What met a rule, and where."""

    rule: Rule
    value: str
    place: str


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules ready to be held against texts. Made once; used by many threads.

    Attributes:
        always: places in `rules` of those without a keyword.
        words: the search for all keywords of three characters or more at once.
        by_word: what each of them may meet, by its number in `words`.
        by_sign: likewise for shorter ones, which stand in nearly every text: they are looked for one by one.
    """

    rules: tuple[Rule, ...]
    always: tuple[int, ...]
    words: Any
    by_word: Sequence[tuple[int, ...]] = field(repr=False)
    by_sign: Mapping[str, tuple[int, ...]] = field(repr=False)

    def matches(self, passage: Passage) -> Iterator[Match]:
        """Each different value that meets a rule in the passage."""
        text = passage.text
        lower = text.lower()
        wanted = {index for sign, indexes in self.by_sign.items() if sign in lower for index in indexes}
        for word in {found[0] for found in self.words.find_matches_as_indexes(lower, overlapping=True)}:
            wanted.update(self.by_word[word])
        for index in sorted(wanted.union(self.always)):
            rule = self.rules[index]
            if rule.places and not passage.place.startswith(rule.places):
                continue
            yield from _met(rule, text, lower, passage.place)


def _met(rule: Rule, text: str, lower: str, place: str) -> Iterator[Match]:
    found: dict[str, None] = {}
    check = checks.CHECKS[rule.check] if rule.check else None
    for match in rule.pattern.finditer(text):
        group = 1 if match.re.groups else 0
        value = match.group(group) or match.group(0)
        if value in found:
            continue
        if rule.near:
            around = lower[max(0, match.start() - _NEAR) : match.end() + _NEAR]
            if not any(word in around for word in rule.near):
                continue
        if check is not None and not check(value):
            continue
        found[value] = None
        if len(found) >= max(_MAX_MATCHES, rule.least):
            break
    if len(found) >= rule.least:
        for value in list(found)[:_MAX_MATCHES]:
            yield Match(rule, value, place)


def load(name: str) -> RuleSet:
    """The rules of `rules/NAME.toml`.

    Raises:
        ValueError: a rule that is no rule; our own mistake, and a test reads every file.
    """
    text = resources.files("posthouse.scan.rules").joinpath(f"{name}.toml").read_text("utf-8")
    return rule_set(_rules(tomllib.loads(text)))


def _rules(tables: dict[str, Any]) -> Iterator[Rule]:
    options = re2.Options()
    options.log_errors = False
    for table in tables["rule"]:
        given = dict(table)
        pattern = re2.compile(given.pop("pattern"), options)
        for key in ("keywords", "near", "places"):
            given[key] = tuple(given.get(key, ()))
        if any(word != word.lower() for word in (*given["keywords"], *given["near"])):
            raise ValueError(f"{given['id']}: keywords are compared in lower case")
        given.setdefault("name", "")
        yield Rule(pattern=pattern, **given)


def rule_set(rules: Iterable[Rule]) -> RuleSet:
    """Rules with the index of their keywords."""
    every = tuple(rules)
    met: dict[str, list[int]] = defaultdict(list)
    for index, rule in enumerate(every):
        for word in rule.keywords:
            met[word].append(index)
    words = sorted(word for word in met if len(word) >= _WORD)
    return RuleSet(
        rules=every,
        always=tuple(index for index, rule in enumerate(every) if not rule.keywords),
        words=ahocorasick_rs.AhoCorasick(words),
        by_word=[tuple(met[word]) for word in words],
        by_sign={word: tuple(found) for word, found in met.items() if len(word) < _WORD},
    )
