"""A surface has thresholds and rules of its own, and everything that speaks of a decision knows it."""

from typing import Any

import pytest

from app.domain import Mode, Outcome, Status, UploadContext
from app.errors import PolicyInvalid
from app.policy.cases import check_cases
from app.policy.early_stop import still_open
from app.policy.evaluate import see
from app.policy.explain import explain
from app.policy.replay import Row, replay
from app.policy.ruleset import Ruleset
from app.policy.surfaces import place_of, threshold_places
from tests.policy.build import LISTS, allow, findings, judge, rule, ruleset

HIGH = rule("high", "probes.a.p >= thresholds.high")
LISTED = rule("listed", "keywords.banned.count > 0", "review")


def with_surfaces(*rules: dict[str, Any], **surfaces: Any) -> Ruleset:
    return ruleset(*rules, surfaces=surfaces)


class TestThresholds:
    RULES = with_surfaces(HIGH, LISTED, avatar={"thresholds": {"high": 0.5}})

    @pytest.mark.parametrize(
        ("surface", "outcome", "seen", "named"),
        [
            ("avatar", Outcome.REJECT, 0.5, "avatar"),
            ("chat", Outcome.PASS, 0.9, None),
            ("Avatar", Outcome.PASS, 0.9, None),
            (None, Outcome.PASS, 0.9, None),
        ],
    )
    def test_only_uploads_of_the_surface_are_judged_by_them(
        self, surface: str | None, outcome: Outcome, seen: float, named: str | None
    ) -> None:
        made = judge(self.RULES, findings(a=0.6), surface=surface)
        assert (made.outcome, made.surface) == (outcome, named)
        assert made.rules[0].trace[0].values["thresholds.high"] == seen

    def test_only_rules_that_name_them_are_marked(self) -> None:
        made = judge(self.RULES, findings(), surface="avatar")
        assert [(one.id, one.surface) for one in made.rules] == [("high", "avatar"), ("listed", None)]

    def test_keep_the_type_that_conditions_were_compiled_for(self) -> None:
        rules = with_surfaces(
            HIGH,
            rule("many", "keywords.banned.count >= thresholds.three"),
            avatar={"thresholds": {"high": 1, "three": 1.0}},
        )
        assert rules.surfaces["avatar"].thresholds["thresholds.high"] == 1.0
        assert isinstance(rules.surfaces["avatar"].thresholds["thresholds.high"], float)
        assert isinstance(rules.surfaces["avatar"].thresholds["thresholds.three"], int)
        assert judge(rules, findings(a=1.0), surface="avatar").outcome is Outcome.REJECT


class TestRules:
    def test_another_outcome(self) -> None:
        rules = with_surfaces(HIGH, avatar={"rules": {"high": {"then": "review"}}})
        assert judge(rules, findings(a=0.95), surface="avatar").outcome is Outcome.REVIEW
        assert judge(rules, findings(a=0.95)).outcome is Outcome.REJECT

    def test_off(self) -> None:
        rules = with_surfaces(HIGH, LISTED, avatar={"rules": {"high": {"mode": "off"}}})
        made = judge(rules, findings(a=0.95), surface="avatar")
        assert (made.outcome, [one.id for one in made.rules]) == (Outcome.PASS, ["listed"])

    def test_shadow_decides_nothing_and_degrades_nothing(self) -> None:
        rules = with_surfaces(HIGH, avatar={"rules": {"high": {"mode": "shadow"}}})
        made = judge(rules, findings(a=0.95), surface="avatar")
        assert (made.outcome, made.rules[0].mode, made.rules[0].surface) == (Outcome.PASS, Mode.SHADOW, "avatar")
        assert not judge(rules, findings(a=None), surface="avatar").degraded

    def test_a_draft_or_shadow_rule_may_be_live_on_one_surface(self) -> None:
        for mode in ("draft", "shadow"):
            rules = with_surfaces(HIGH | {"mode": mode}, LISTED, avatar={"rules": {"high": {"mode": "live"}}})
            assert judge(rules, findings(a=0.95)).outcome is Outcome.PASS
            assert judge(rules, findings(a=0.95), surface="avatar").outcome is Outcome.REJECT

    def test_an_allow_rule_for_one_surface(self) -> None:
        rules = with_surfaces(
            HIGH, allow("fine", "probes.b.p < 0.5", "high", mode="draft"), kitchen={"rules": {"fine": {"mode": "live"}}}
        )
        assert judge(rules, findings(a=0.95), surface="kitchen").outcome is Outcome.PASS
        assert judge(rules, findings(a=0.95)).outcome is Outcome.REJECT

    def test_an_allow_rule_may_name_a_draft_that_a_surface_wakes(self) -> None:
        rules = with_surfaces(
            HIGH | {"mode": "draft"},
            LISTED,
            allow("fine", "probes.b.p < 0.5", "high"),
            avatar={"rules": {"high": {"mode": "live"}}},
        )
        assert judge(rules, findings(a=0.95, b=0.9), surface="avatar").outcome is Outcome.REJECT

    def test_what_could_not_be_known_is_never_a_pass_where_the_rule_is_live(self) -> None:
        rules = with_surfaces(HIGH | {"mode": "draft"}, LISTED, avatar={"rules": {"high": {"mode": "live"}}})
        made = judge(rules, findings(a=None), surface="avatar")
        assert (made.outcome, made.degraded) == (Outcome.REVIEW, True)


class TestNeeds:
    def test_a_probe_that_one_surface_alone_uses_is_asked(self) -> None:
        rules = with_surfaces(HIGH | {"mode": "draft"}, LISTED, avatar={"rules": {"high": {"mode": "shadow"}}})
        assert {one.probe for one in rules.needs.probes} == {"a"}
        assert not any("probes.a" in one.message for one in rules.warnings)

    def test_a_binding_list_of_a_rule_that_one_surface_alone_has_is_waited_for(self) -> None:
        rules = with_surfaces(
            rule("high", "probes.a.p >= thresholds.high || keywords.sworn.count > 0", mode="draft"),
            LISTED,
            allow("fine", "probes.b.p < 0.5", "high"),
            avatar={"rules": {"high": {"mode": "live"}}},
        )
        found = findings(a=0.95, ocr=Status.SKIPPED)
        context = UploadContext(surface="avatar")
        assert still_open(rules, found, context, model_digest=None, pending=["ocr"]) == {"ocr"}

    def test_a_probe_whose_only_rule_is_off_on_one_surface_is_asked(self) -> None:
        rules = with_surfaces(HIGH, avatar={"rules": {"high": {"mode": "off"}}})
        assert {one.probe for one in rules.needs.probes} == {"a"}


class TestReplay:
    RULES = with_surfaces(
        HIGH,
        LISTED,
        avatar={"thresholds": {"high": 0.5}},
        chat={"rules": {"high": {"then": "review"}}},
    )

    def rows(self) -> list[Row]:
        found = [(0.6, None), (0.6, "avatar"), (0.95, "chat"), (0.95, "elsewhere")]
        return [Row(see(self.RULES, findings(a=p), UploadContext(surface=on), model_digest=None)) for p, on in found]

    def test_each_row_as_its_surface_has_it(self) -> None:
        made = replay(self.RULES, self.rows())
        assert [made.outcome(at) for at in range(4)] == [Outcome.PASS, Outcome.REJECT, Outcome.REVIEW, Outcome.REJECT]
        assert made.fired["high"].tolist() == made.decided_by["high"].tolist() == [False, True, True, True]

    def test_a_threshold_moves_where_no_surface_has_its_own(self) -> None:
        made = replay(self.RULES, self.rows(), thresholds={"thresholds.high": 0.99})
        assert made.severity.tolist() == [0, 2, 0, 0]

    def test_a_surfaces_threshold_moves_alone(self) -> None:
        made = replay(self.RULES, self.rows(), thresholds={"surfaces.avatar.thresholds.high": 0.99})
        assert made.severity.tolist() == [0, 0, 1, 2]

    def test_every_place_of_a_threshold_can_be_swept(self) -> None:
        assert threshold_places(self.RULES) == {
            "thresholds.high": 0.9,
            "thresholds.half": 0.5,
            "thresholds.three": 3,
            "surfaces.avatar.thresholds.high": 0.5,
        }
        assert place_of("high") == "thresholds.high"
        assert place_of("surfaces.avatar.thresholds.high") == "surfaces.avatar.thresholds.high"

    def test_no_rows(self) -> None:
        assert replay(self.RULES, []).severity.tolist() == []


class TestExplain:
    RULES = with_surfaces(HIGH, LISTED, avatar={"thresholds": {"high": 0.5}, "rules": {"listed": {"mode": "off"}}})

    def explained(self, surface: str | None) -> Any:
        return explain(self.RULES, findings(a=0.45), UploadContext(surface=surface), model_digest=None)

    def test_says_what_the_surface_has_otherwise(self) -> None:
        lines = self.explained("avatar").lines
        assert lines[:4] == (
            "surface avatar",
            "  thresholds.high = 0.5, elsewhere 0.9",
            "  listed: off",
            "high [on avatar]: false",
        )

    def test_says_nothing_of_surfaces_elsewhere(self) -> None:
        assert self.explained("chat").lines[0] == "high: false"

    def test_the_smallest_change_names_the_place_of_the_threshold(self) -> None:
        assert self.explained("avatar").threshold_change.name == "surfaces.avatar.thresholds.high"
        assert self.explained("avatar").value_change.to == 0.5
        assert self.explained(None).threshold_change.name == "thresholds.high"
        assert self.explained(None).value_change.to == 0.9


def test_policy_tests_may_name_the_surface() -> None:
    cases = """
cases:
  - {name: avatars, given: {probes.a.p: 0.6, context.surface: avatar}, expect: reject}
  - {name: elsewhere, given: {probes.a.p: 0.6}, expect: pass}
"""
    assert check_cases(TestThresholds.RULES, cases.encode(), "p.test.yaml").failures == ()


@pytest.mark.parametrize(
    ("surface", "said"),
    [
        ({"thresholds": {"hihg": 0.5}}, "there is no threshold `hihg`"),
        ({"thresholds": {"three": 1.5}}, "is a whole number"),
        ({"thresholds": {"high": "low"}}, "must be a number"),
        ({"rules": {"hihg": {"mode": "off"}}}, "did you mean `high`?"),
        ({"rules": {"high": {"mode": "draft"}}}, "must be `live`, `shadow` or `off`"),
        ({"rules": {"high": {"then": "pass"}}}, "must be `reject` or `review`"),
        ({"rules": {"high": {"mode": "off", "then": "review"}}}, "a rule that is off has no `then`"),
        ({"rules": {"high": {}}}, "must have a `mode` or a `then`"),
        ({"rules": {"fine": {"then": "review"}}}, "is an allow rule"),
        ({}, "must have `thresholds` or `rules`"),
        ({"treshholds": {}}, "did you mean `thresholds`?"),
        ({"thresholds": {"half": 0}}, "it must not be zero"),
    ],
)
def test_what_is_refused(surface: dict[str, Any], said: str) -> None:
    divided = rule("divided", "probes.a.p / thresholds.half > 1.0")
    with pytest.raises(PolicyInvalid) as invalid:
        with_surfaces(HIGH, divided, allow("fine", "probes.b.p < 0.5", "high"), avatar=surface)
    assert said in str(invalid.value)
    assert all(one.line > 1 for one in invalid.value.problems)


def test_a_surface_is_called_as_uploads_call_it() -> None:
    with pytest.raises(PolicyInvalid, match="is not a surface"):
        ruleset(HIGH, surfaces={"my avatar": {"thresholds": {"high": 0.5}}})
    odd = ruleset(HIGH, surfaces={"Chat-2.beta_": {"thresholds": {"high": 0.5}}}, lists=LISTS)
    assert judge(odd, findings(a=0.6), surface="Chat-2.beta_").outcome is Outcome.REJECT
