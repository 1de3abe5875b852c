"""How many disguised terms are found, by disguise, and what it costs in ordinary sentences."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.domain import COUNTED_SCORE, KeywordList, Status, TermKind, TextFinding, TextLine, TextSource
from app.signals.keywords import AhoCorasickMatcher
from benchmarks.text.baselines import Alternation, ExactSubstring
from benchmarks.text.evasions import EVASIONS, columns

#: Characters of the shortest term that is written in columns.
_COLUMN = 3

Finder = Callable[[str], set[str]]

_AROUND_LATIN = (("", ""), ("get a ", " today"), ("best ", ", write us"), ("(", ")"), ("we have ", " for you"))
_AROUND_HAN = (("", ""), ("本店", "，欢迎咨询"), ("长期提供", "服务"), ("【", "】"), ("需要", "的请私聊"))


@dataclass(frozen=True, slots=True)
class Row:
    """Of one disguise: the texts tried, and how many each finder found."""

    evasion: str
    tried: int
    found: tuple[int, ...]
    missed: tuple[tuple[str, str], ...] = ()


def views_finder(matcher: AhoCorasickMatcher, lists: Sequence[KeywordList]) -> Finder:
    """The terms whose matches count."""

    def find(text: str) -> set[str]:
        lines = tuple(TextLine(text=line) for line in text.split("\n"))
        finding = matcher.match(lists, {TextSource.OCR: TextFinding(status=Status.OK, lines=lines)})
        return {match.term.lower() for match in finding.matches if match.score >= COUNTED_SCORE}

    return find


def plain_terms(lists: Iterable[KeywordList]) -> list[str]:
    every = []
    for keywords in lists:
        special = {number for number, options in keywords.options if options.kind is not TermKind.PLAIN}
        every += [term for number, term in enumerate(keywords.terms) if number not in special]
    return every


def finders(lists: Sequence[KeywordList]) -> dict[str, Finder]:
    terms = plain_terms(lists)
    matcher = AhoCorasickMatcher()
    matcher.prepare(lists)
    return {
        "Portcullis": views_finder(matcher, lists),
        "exact substring": ExactSubstring(terms).find,
        "regex alternation": Alternation(terms).find,
    }


def recall(lists: Sequence[KeywordList], *, seed: int = 6, rounds: int = 2) -> list[Row]:
    rng = random.Random(seed)  # noqa: S311 - the same texts every time
    terms, ways = plain_terms(lists), list(finders(lists).values())
    rows = []
    for evasion in (*EVASIONS, "columns"):
        texts = [
            (term, text)
            for _ in range(rounds)
            for term in terms
            if (text := _disguised(term, evasion, rng)) is not None
        ]
        found = [[text for term, text in texts if term.lower() in way(text)] for way in ways]
        hit = set(found[0])
        missed = tuple((term, text) for term, text in texts if text not in hit)
        rows.append(Row(evasion, len(texts), tuple(map(len, found)), missed))
    return rows


def _disguised(term: str, evasion: str, rng: random.Random) -> str | None:
    latin = term[0].isascii()
    before, after = rng.choice(_AROUND_LATIN if latin else _AROUND_HAN)
    if evasion == "columns":
        return None if latin or len(term) < _COLUMN else columns(before + term + after, rng.randint(3, 5))
    disguised = EVASIONS[evasion](term, rng)
    if disguised is None:
        return None
    if evasion == "vertical":
        before, after = before and "sale\n" if latin else before and "出售：\n", after and "\n!"
    return f"{before}{disguised}{after}"


def false_positives(lists: Sequence[KeywordList], sentences: Sequence[str]) -> dict[str, list[str]]:
    """By finder, the innocent sentences in which it finds something."""
    return {name: [sentence for sentence in sentences if way(sentence)] for name, way in finders(lists).items()}
