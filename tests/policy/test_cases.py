"""Policy tests: what is expected, said beside the policy."""

from pathlib import Path

import pytest
import yaml

from app.errors import PolicyTestsFailed
from app.policy.cases import check_cases, run_cases
from app.policy.live import LiveRuleset
from app.policy.memory import MemoryRulesets
from tests.policy.build import document, rule, ruleset

RULES = ruleset(
    rule("stop", "scores.goods >= thresholds.high"),
    rule("look", "keywords.banned.count > 0 || probes.b.p > 0.5", "review"),
)


def failures(text: str) -> list[str]:
    return [
        f"{one.line}:{one.column}: {one.message}" for one in check_cases(RULES, text.encode(), "p.test.yaml").failures
    ]


def test_cases_that_hold() -> None:
    report = check_cases(
        RULES,
        b"""
cases:
  - name: nothing
    expect: pass
  - name: surely goods
    given: {probes.a.p: 0.95}
    expect: reject
  - name: a listed word
    given: {keywords.banned.count: 2, context.surface: chat}
    expect: review
  - name: no answer
    given: {probes.a.p: unknown}
    expect: review
  - name: a whole number
    given: {probes.a.p: 1}
    expect: reject
""",
        "p.test.yaml",
    )
    assert (report.cases, report.failures) == (5, ())


def test_a_case_that_fails_says_where_what_and_by_which_rule() -> None:
    text = "cases:\n  - name: goods\n    given: {probes.b.p: 0.95}\n    expect: review\n"
    assert failures(text) == ["4:13: “goods” is reject by stop, and should be review"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty"),
        ("- a", "1:1: a file of policy tests is `cases:` with a list"),
        ("cases: {a: b}", "1:1: a file of policy tests is `cases:` with a list"),
        ("cases:\n- given: {}\n  expect: pass", "2:3: `name` is missing"),
        ("cases:\n- name: x\n  expect: allow", "3:11: must be `pass`, `review` or `reject`"),
        ("cases:\n- name: x\n  expect: pass\n  given: {probes.c.p: 1}", "4:11: unknown name `probes.c.p`"),
        (
            "cases:\n- name: x\n  expect: pass\n  given: {probes.a.p: high}",
            "4:23: `probes.a.p` is a number",
        ),
        (
            "cases:\n- name: x\n  expect: pass\n  given: {scores.goods: 1}",
            "4:11: scores are made of findings and cannot be given",
        ),
        (
            "cases:\n- name: x\n  expect: pass\n  given: {keywords.banned.count: true}",
            "4:34: `keywords.banned.count` is a whole number",
        ),
        ("cases:\n- name: x\n  expect: [pass]", "3:11: must be `pass`, `review` or `reject`"),
        ("cases: [", "1:9: the text ends before what was begun is complete"),
        ("cases:\n- x", "2:3: a case has a `name`, what is `given`, and what to `expect`"),
        ("cases:\n- nam: x\n  expect: pass", "2:3: `name` is missing"),
        ("cases:\n- name: x\n  expect: pass\n  given: {probes.a.p: 1.5}", "4:23: `probes.a.p` is never 1.5"),
        ("cases:\n- name: x\n  expect: pass\n  given: {image.width: -1}", "4:24: `image.width` is never -1"),
    ],
)
def test_bad_cases_are_told(text: str, said: str) -> None:
    assert [line.split(" (")[0] for line in failures(text)][:1] == [said]


def test_all_mistakes_of_a_case_are_told_at_once() -> None:
    text = "cases:\n- name: x\n  expct: pass\n  expect: Reject\n  given: {probes.a.p: 95%, probes.c.p: 1}"
    report = check_cases(RULES, text.encode(), "p.test.yaml")
    assert [(one.message, one.hint) for one in report.failures] == [
        ("unknown field `expct`", "did you mean `expect`?"),
        ("must be `pass`, `review` or `reject`", "did you mean `reject`?"),
        ("`probes.a.p` is a number", "write `0.95`"),
        ("unknown name `probes.c.p`", "did you mean `probes.b.p`, `probes.a.p` or `probes.b.mass`?"),
    ]


def test_no_file_has_no_cases(tmp_path: Path) -> None:
    assert run_cases(RULES, tmp_path / "none.yaml").failures == ()


def policy(high: float) -> str:
    return yaml.safe_dump(document([rule("r1", "probes.a.p > thresholds.high")], thresholds={"high": high}))


async def test_a_policy_that_fails_its_tests_does_not_decide(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    path, cases = tmp_path / "p.yaml", tmp_path / "p.test.yaml"
    path.write_text(policy(0.5))
    cases.write_text("cases:\n- name: middling\n  given: {probes.a.p: 0.55}\n  expect: reject\n")
    store = MemoryRulesets()
    live = LiveRuleset(path, tmp_path / "rules", store=store)
    await live.start()
    path.write_text(policy(0.6))
    assert not await live.reload()
    assert [problem.message for problem in live.status.problems] == ["“middling” is pass, and should be reject"]
    with pytest.raises(PolicyTestsFailed):
        await live.put(policy(0.7).encode(), expected=None, author="a", why=None)
    assert live.current.policy.thresholds["high"] == 0.5
    done = (await live.put(policy(0.7).encode(), expected=None, author="a", why="urgent", force=True)).activation
    assert done.change.forced
    assert store.events[-1].body["forced"] is True
    cases.write_text("cases:\n- name: middling\n  given: {probes.a.p: 0.55}\n  expect: pass\n")
    assert await live.reload(), "the file is tried again when its tests change"
    assert live.current.policy.thresholds["high"] == 0.6
    quiet = (await live.put(policy(0.8).encode(), expected=None, author="a", why=None, force=True)).activation
    assert not quiet.change.forced
