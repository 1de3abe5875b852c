"""Every example of docs/policies.md is sound, and does what the page says of it."""

import re
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.domain import Settled
from app.policy.cases import check_cases
from app.policy.lists import load_lists
from app.policy.load import build_ruleset
from app.policy.retention import in_words, keeping
from app.policy.ruleset import Ruleset
from app.policy.vocabulary import FIXED_NAMES
from app.policy.yaml_text import read_yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
#: The examples' categories are fewer than those of the lists that ship.
LISTS = [one for one in load_lists(ROOT / "rules")[0] if one.name == "contraband"]
#: The section of each example.
SECTIONS = {
    example: re.findall(r"^## (.*)$", TEXT[: TEXT.index(f"```yaml\n{example}")], flags=re.MULTILINE)[-1]
    for example in EXAMPLES
}

KNIVES = [("{probes.knives.p: 0.95}", "reject"), ("{probes.knives.p: 0.85}", "pass")]
#: What is expected of uploads by each section's examples, as the page says it: what is given, and the outcome.
EXPECTED: dict[str, list[tuple[str, str]]] = {
    "A whole policy": [*KNIVES, ("{probes.knives.p: unknown}", "review"), ("{probes.blood.p: 1}", "pass")],
    "Categories": KNIVES,
    "Probes": KNIVES,
    "Probes of texts": [
        ("{probes.selling.p: 0.95}", "reject"),
        ("{probes.selling.p: 0.6, probes.knives.p: 0.6}", "reject"),
        ("{probes.selling.p: 0.6}", "pass"),
        ("{probes.threats.p: 0.6}", "review"),
        ("{probes.selling.p: absent, probes.knives.p: 1}", "pass"),
        ("{probes.selling.p: unknown}", "review"),
    ],
    "Scores": [
        ("{probes.knives.p: 1, probes.blood.p: 0.7}", "reject"),
        ("{probes.knives.p: 1, probes.blood.p: 0.5}", "pass"),
    ],
    "Scores of pictures and words": [
        ("{probes.knives.p: 0.7, keywords.contraband.score: 0.7}", "reject"),
        ("{probes.knives.p: 0.7}", "pass"),
        ("{keywords.contraband.score: 0.7}", "pass"),
        ("{keywords.contraband.score: 1}", "reject"),
        ("{probes.knives.p: 0.7, keywords.contraband.score: unknown}", "review"),
        ("{probes.knives.p: 0.95, keywords.contraband.score: unknown}", "reject"),
        ("{probes.knives.p: unknown, keywords.contraband.score: 1}", "reject"),
    ],
    "Thresholds": [("{probes.knives.p: 0.96}", "reject"), ("{probes.knives.p: 0.94}", "pass")],
    "Rules": [*KNIVES, ("{probes.blood.p: 0.6}", "pass"), ("{probes.blood.p: unknown}", "pass")],
    "Conditions": [
        *KNIVES,
        ("{probes.knives.p: 0.6, keywords.contraband.count: 1}", "reject"),
        ("{probes.knives.p: 0.6, keywords.contraband.count: unknown}", "review"),
        ("{probes.knives.p: 0.95, context.surface: camping}", "pass"),
    ],
    "What cannot be known": [
        ("{probes.knives.p: 0.95}", "review"),
        ("{probes.knives.p: 0.95, keywords.contraband.count: 1}", "pass"),
        ("{probes.knives.p: 0.95, keywords.contraband.count: unknown}", "reject"),
        ("{probes.knives.p: 0.5, keywords.contraband.count: unknown}", "pass"),
    ],
    "Allow rules": [
        ("{probes.knives.p: 0.6}", "reject"),
        ("{probes.knives.p: 0.6, context.surface: kitchen}", "pass"),
        ("{probes.knives.p: unknown, context.surface: kitchen}", "pass"),
        ("{probes.knives.p: 0.6, probes.blood.p: 0.5, context.surface: kitchen}", "reject"),
        ("{probes.knives.p: 0.6, probes.blood.p: unknown, context.surface: kitchen}", "reject"),
    ],
    "Statements of reasons": KNIVES,
    "Quality control": KNIVES,
    "Surfaces": [
        ("{probes.knives.p: 0.8}", "pass"),
        ("{probes.knives.p: 0.8, context.surface: avatar}", "reject"),
        ("{probes.knives.p: 0.8, context.surface: Avatar}", "pass"),
        ("{probes.knives.p: 0.95, context.surface: kitchen}", "review"),
        ("{probes.knives.p: 0.95, context.surface: chat}", "pass"),
        ("{probes.knives.p: 0.95, context.surface: elsewhere}", "reject"),
    ],
    "Defaults": [*KNIVES, ("{probes.knives.p: unknown}", "review")],
    "How long pictures are kept": KNIVES,
    "Stopping early": [
        ("{probes.knives.p: 0.6, keywords.contraband.count: 1}", "reject"),
        ("{probes.knives.p: 0.95}", "pass"),
    ],
}


def built(example: str) -> Ruleset:
    """The whole policy of the page, with what the example defines in place of what has the same name."""
    whole, _, _ = read_yaml(EXAMPLES[0].encode(), "policies.md")
    part, _, problems = read_yaml(example.encode(), "policies.md")
    assert not problems
    categories = whole["categories"] | {"contraband": {"title": {"en": "Contraband"}, "severity": "high"}}
    merged = {**whole, "categories": categories}
    for section, value in part.items():
        merged[section] = merged[section] | value if isinstance(merged.get(section), dict) else value
    return build_ruleset(yaml.safe_dump(merged, allow_unicode=True, sort_keys=False).encode(), LISTS)


def wrong(ruleset: Ruleset, cases: list[dict[str, Any]]) -> list[str]:
    text = yaml.safe_dump({"cases": cases}, allow_unicode=True, sort_keys=False)
    return [problem.message for problem in check_cases(ruleset, text.encode(), "p.test.yaml").failures]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: SECTIONS[text])
def test_the_example_does_what_the_page_says(example: str) -> None:
    expected = EXPECTED[SECTIONS[example]]
    cases = [{"name": given, "given": yaml.safe_load(given), "expect": outcome} for given, outcome in expected]
    assert wrong(built(example), cases) == []


def test_no_example_is_left_out_and_none_is_gone() -> None:
    assert set(SECTIONS.values()) == EXPECTED.keys()


def test_the_whole_policy_needs_no_lists() -> None:
    assert build_ruleset(EXAMPLES[0].encode(), ()).lists == ()


def test_the_policy_tests_of_the_page_hold_for_its_whole_policy() -> None:
    section = TEXT[TEXT.index("## Policy tests") :]
    block = re.search(r"\n\n((?: {4}.*\n)+)", section)
    assert block is not None
    ruleset = build_ruleset(EXAMPLES[0].encode(), ())
    report = check_cases(ruleset, textwrap.dedent(block[1]).encode(), "policies.test.yaml")
    assert (report.cases, report.failures) == (3, ())


def test_the_included_file_of_the_page_is_taken() -> None:
    whole = EXAMPLES[0].replace("version: 1\n", "version: 1\ninclude: [thresholds.yaml]\n")
    kept = re.sub(r"thresholds:\n(?:  .*\n)+", "", whole)
    text = f"{kept}--- # file: thresholds.yaml\nthresholds: {{reject: 0.9}}\n"
    assert build_ruleset(text.encode(), ()).policy.thresholds == {"reject": 0.9}


def test_pictures_are_kept_as_the_page_says() -> None:
    (example,) = [one for one, section in SECTIONS.items() if section == "How long pictures are kept"]
    said = keeping(built(example), passed_if_silent=timedelta(hours=24))
    assert in_words(said) == "passed 3 d, passed by a person 30 d, rejected 180 d, rejected for violence 365 d"
    assert said.of(Settled.REJECTED, "goods").time == timedelta(days=180)


def test_every_fixed_name_is_in_the_table() -> None:
    assert not [name for name in FIXED_NAMES if f"`{name}`" not in TEXT]
