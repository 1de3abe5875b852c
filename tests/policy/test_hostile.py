"""Policies that are made to hurt are refused for their size, with few words, before they cost anything."""

import time
from collections.abc import Callable

import pytest

from app.errors import PolicyInvalid
from app.policy import conditions
from app.policy.limits import MAX_CONDITIONS, MAX_PARTS
from app.policy.load import MAX_PROBLEMS, build_ruleset
from app.policy.ruleset import Ruleset

HEAD = "version: 1\ncategories: {g: {title: {en: G}, severity: high}}\n"
#: Of everything that is told of a policy, however many mistakes it has and however long its lines are.
MAX_TOLD_CHARACTERS = 100_000


def rule(at: int, when: str) -> str:
    return f"- {{id: r{at}, category: g, when: {when}, then: review, reason: {{en: x}}}}\n"


def filled(head: str, item: str, tail: str) -> str:
    """Enough to be far beyond every limit."""
    return head + item * 12_000 + tail


def numbered(head: str, item: Callable[[int], str], count: int, tail: str = "") -> str:
    return head + "".join(item(at) for at in range(count)) + tail


ONE_RULE = f"{HEAD}rules:\n- {{id: r, category: g, then: review, reason: {{en: x}}, when: {{any: ["

BOMBS = {
    "aliases": (filled(f"{HEAD}x: [&a 1,", "*a,", "*a]\n"), "anchors (`&name`) are not allowed"),
    "anchors": (filled(f"{HEAD}x: [", "&a 1,", "1]\n"), "anchors (`&name`) are not allowed"),
    "the same key": (filled(f"{HEAD}thresholds: {{", "a: 1,", "}\n"), "`a` is given twice"),
    "mistakes in one line": (filled(f"{HEAD}rules: [", "{},", "{}]\n"), "a policy has at most 2000 rules"),
    "brackets": (f"{HEAD}x: {'[' * 400_000}", "nested deeper than 32 levels"),
    "conditions": (filled(ONE_RULE, "true,", "true]}}\n"), f"a policy has at most {MAX_CONDITIONS} conditions"),
    "rules": (numbered(f"{HEAD}rules:\n", lambda at: rule(at, "image.width>9"), 2001), "at most 2000 rules"),
    "ten thousand rules": (numbered(f"{HEAD}rules:\n", lambda at: rule(at, "x"), 10_000), "larger than 512 KiB"),
    "thresholds": (numbered(f"{HEAD}thresholds:\n", lambda at: f"  t{at}: 1\n", 1001), "at most 1000 thresholds"),
    "surfaces": (numbered(f"{HEAD}surfaces:\n", lambda at: f"  s{at}: {{}}\n", 51), "at most 50 surfaces"),
    "a long condition": (f"{HEAD}rules:\n{rule(1, repr('true||' * 8_000 + 'true'))}", "at most 2000 characters"),
    "deep brackets in a condition": (f"{HEAD}rules:\n{rule(1, repr('(' * 900 + '1' + ')' * 900))}", "r"),
    "a deep sum": (f"{HEAD}rules:\n{rule(1, repr('1+' * 900 + '1>2'))}", "Exceeded max recursion depth"),
    "a deep choice": (f"{HEAD}rules:\n{rule(1, repr('image.transparent?true:' * 80 + 'true'))}", "nested too deep"),
    "long names": (f"{HEAD}rules:\n{rule(1, repr('a' * 1900 + ' > 1'))}", "unknown name"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_is_refused_in_few_words(name: str) -> None:
    text, said = BOMBS[name]
    with pytest.raises(PolicyInvalid) as invalid:
        build_ruleset(text.encode(), ())
    assert said in invalid.value.detail
    assert len(invalid.value.problems) <= MAX_PROBLEMS + 1
    assert len(invalid.value.detail) <= MAX_TOLD_CHARACTERS


def test_all_mistakes_of_a_large_policy_are_not_told_at_once() -> None:
    text = numbered(f"{HEAD}rules:\n", lambda at: rule(at, f"image.width > unknown{at}"), 500)
    with pytest.raises(PolicyInvalid) as invalid:
        build_ruleset(text.encode(), ())
    assert len(invalid.value.problems) == MAX_PROBLEMS + 1
    assert invalid.value.problems[-1].message == "there are more mistakes, from here on"
    assert (invalid.value.problems[-1].file, invalid.value.problems[-1].line) == ("policies.yaml", 4 + MAX_PROBLEMS)


def test_compiling_ends_when_enough_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = conditions.Compiler.compile

    def counted(self: conditions.Compiler, text: str) -> conditions.Condition:
        compiled.append(text)
        return real(self, text)

    monkeypatch.setattr(conditions.Compiler, "compile", counted)
    text = numbered(f"{HEAD}rules:\n", lambda at: rule(at, f"image.width > unknown{at}"), 2000)
    with pytest.raises(PolicyInvalid):
        build_ruleset(text.encode(), ())
    assert len(compiled) <= MAX_PROBLEMS + 1


@pytest.mark.parametrize(
    "pattern", ["((a{1000}){1000}){1000}", "(a{1001})", "((((a{99}){99}){99}){99})", "(?=a)", "(a)\\\\1"]
)
def test_patterns_that_would_take_for_ever_are_no_patterns(pattern: str) -> None:
    text = HEAD + "rules:\n" + rule(1, "'context.surface.matches(\"" + pattern + "\")'")
    with pytest.raises(PolicyInvalid, match="not a regular expression"):
        build_ruleset(text.encode(), ())


def test_as_much_as_is_allowed_is_taken() -> None:
    rules = numbered(f"{HEAD}rules:\n", lambda at: rule(at, f"image.width > {at % 7}"), MAX_PARTS["rules"])
    made: Ruleset = build_ruleset(rules.encode(), ())
    assert len(made.program.rules) == MAX_PARTS["rules"]


def test_a_line_of_any_length_is_shown_where_the_mistake_is() -> None:
    text = HEAD + "rules: [" + " " * 5000 + "{oops: 1}" + " " * 5000 + "]"
    with pytest.raises(PolicyInvalid) as invalid:
        build_ruleset(text.encode(), ())
    problem = next(one for one in invalid.value.problems if "unknown field" in one.message)
    _, line, caret, *_ = problem.render().splitlines()
    assert line[caret.index("^") :].startswith("oops: 1}")
    assert len(line) < 200


def test_a_text_of_any_length_in_place_of_a_number_is_told_at_once() -> None:
    text = HEAD + "thresholds: {high: " + "1" * 500_000 + "x}\nrules:\n" + rule(1, "image.width > 9")
    began = time.process_time()
    with pytest.raises(PolicyInvalid, match="must be a number"):
        build_ruleset(text.encode(), ())
    assert time.process_time() - began < 5


def test_what_was_in_force_before_there_were_limits_can_be_built_again() -> None:
    text = numbered(f"{HEAD}rules:\n", lambda at: rule(at, "image.width > 9"), MAX_PARTS["rules"] + 1)
    assert len(build_ruleset(text.encode(), (), kept=True).program.rules) == MAX_PARTS["rules"] + 1
