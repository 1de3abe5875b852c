from pathlib import Path

import pytest
import yaml

from app.domain import Outcome, Severity, TextSource
from app.errors import PolicyInvalid
from app.policy.load import build_ruleset, load_ruleset
from tests.policy.build import LISTS, allow, document, findings, judge, keyword_list, rule, ruleset

ROOT = Path(__file__).resolve().parents[2]
HIGH = "probes.a.p > 0.5"


def refused(*rules: dict[str, object], **parts: object) -> str:
    with pytest.raises(PolicyInvalid) as invalid:
        ruleset(*rules, **parts)  # type: ignore[arg-type]
    return str(invalid.value)


class TestTheDefaultPolicy:
    def test_is_sound_and_uses_every_list_probe_and_threshold(self) -> None:
        rules = load_ruleset(ROOT / "policies.yaml", ROOT / "rules")
        assert rules.warnings == ()
        assert {one.name for one in rules.lists} == {
            "contraband",
            "gambling",
            "scams",
            "sexual_services",
            "violence_threats",
        }

    def test_every_text_is_there_in_english_and_chinese(self) -> None:
        policy = load_ruleset(ROOT / "policies.yaml", ROOT / "rules").policy
        texts = [category.title for category in policy.categories.values()]
        texts += [probe.questions for probe in policy.probes.values()]
        texts += [one.reason for one in policy.rules if one.reason is not None]
        assert all(set(text) == {"en", "zh"} for text in texts)

    def test_every_category_has_a_rule(self) -> None:
        policy = load_ruleset(ROOT / "policies.yaml", ROOT / "rules").policy
        assert {one.category for one in policy.rules} == set(policy.categories)


class TestDigests:
    def test_the_ruleset_is_named_by_policy_and_lists(self) -> None:
        base = ruleset(rule("r1", HIGH))
        assert ruleset(rule("r1", HIGH)).digest == base.digest
        assert ruleset(rule("r1", HIGH), lists=LISTS[::-1]).digest == base.digest
        other_list = ruleset(rule("r1", HIGH), lists=[LISTS[0], keyword_list("sworn", digest="sha256:else")])
        assert other_list.policy_digest == base.policy_digest
        other_policy = ruleset(rule("r1", HIGH), defaults={"min_mass": 0.6})
        assert len({base.digest, other_list.digest, other_policy.digest}) == 3

    def test_a_list_by_another_name_is_another_ruleset(self) -> None:
        rules = rule("r1", HIGH)
        renamed = keyword_list("renamed", digest=LISTS[0].digest)
        assert ruleset(rules, lists=[renamed]).digest != ruleset(rules, lists=LISTS[:1]).digest


class TestNeeds:
    def test_every_used_probe_in_every_asked_language(self) -> None:
        needs = ruleset(rule("r1", "scores.goods > 0.5"), defaults={"ask": ["en", "zh"]}).needs
        assert [(one.probe, one.language, one.text) for one in needs.probes] == [
            ("a", "en", "a?"),
            ("a", "zh", "a？"),
            ("b", "en", "b?"),
            ("b", "zh", "b？"),
        ]

    def test_shadow_rules_ask_and_drafts_do_not(self) -> None:
        asked = ruleset(rule("r1", HIGH, mode="shadow"), rule("r2", "probes.b.p > 0.5", mode="draft")).needs.probes
        assert {one.probe for one in asked} == {"a"}

    def test_signals_that_are_off(self) -> None:
        off = {"signals": {"ocr": False, "qr": False, "scene": False}}
        everywhere = keyword_list("banned", sources=frozenset(TextSource))
        needs = ruleset(rule("r1", HIGH), lists=[everywhere], defaults=off).needs
        assert (needs.read_text, needs.read_codes, needs.model_text, needs.describe) == (False,) * 4
        assert needs.lists[0].sources == {TextSource.CAPTION}

    def test_by_default_text_and_codes_are_read_and_the_scene_described(self) -> None:
        needs = ruleset(rule("r1", HIGH)).needs
        assert (needs.read_text, needs.read_codes, needs.model_text, needs.describe) == (True, True, False, True)


class TestWarnings:
    def test_what_no_rule_uses(self) -> None:
        warnings = [f"{one.file}: {one.message}" for one in ruleset(rule("r1", HIGH)).warnings]
        assert warnings == [
            "policies.yaml: no live or shadow rule uses `thresholds.half`",
            "policies.yaml: no live or shadow rule uses `thresholds.high`",
            "policies.yaml: no live or shadow rule uses `thresholds.three`",
            "policies.yaml: no live or shadow rule uses `probes.b`",
            "policies.yaml: no live or shadow rule uses `scores.goods`",
            "rules/banned.txt: no live or shadow rule uses this list",
            "rules/sworn.txt: no live or shadow rule uses this list",
        ]


class TestWhatIsRefused:
    def test_a_rule_over_a_list_that_nothing_reads(self) -> None:
        blind = keyword_list("banned", sources=frozenset({TextSource.SCENE}))
        said = refused(rule("r1", "keywords.banned.count > 0"), lists=[blind], defaults={"signals": {"scene": False}})
        assert "would never be known" in said

    def test_a_rule_over_codes_that_nothing_reads(self) -> None:
        assert "would never be known" in refused(rule("r1", "codes.count > 0"), defaults={"signals": {"qr": False}})

    def test_an_allow_rule_that_names_itself(self) -> None:
        assert "allow rule itself" in refused(rule("r1", HIGH), allow("a1", HIGH, "a1"))

    def test_a_draft_is_checked_all_the_same(self) -> None:
        assert "unknown name" in refused(rule("r1", HIGH), rule("r2", "nonsense > 1", mode="draft"))

    def test_no_rules_at_all(self) -> None:
        assert "must not be empty" in refused()

    def test_a_list_of_an_unknown_category(self) -> None:
        said = refused(rule("r1", HIGH), lists=[keyword_list("odd", category="good")])
        assert "rules/odd.txt:1:1" in said
        assert "did you mean `goods`?" in said

    @pytest.mark.parametrize(
        "parts",
        [
            {"defaults": {"on_unknown": "pass"}},
            {"defaults": []},
            {"categories": {}},
            {"categories": {"goods": None}},
            {"categories": {"goods": {"title": {"en": " "}, "severity": "high"}}},
            {"categories": {"goods": {"title": {"en": "Goods"}, "severity": 3}}},
            {"categories": {"goods": {"title": {"en": "Goods"}, "severity": ["high"]}}},
            {"thresholds": {"high": True}},
            {"thresholds": {"high": 1e300}},
            {"thresholds": []},
            {"probes": {"a": {"category": "goods", "questions": {}}}},
            {"probes": {"a-b": {"category": "goods", "questions": {"en": "?"}}}},
            {"scores": {"goods": {"max": []}}},
            {"scores": {"goods": {"weighted": {"probes.a.p": -1}}}},
            {"scores": {"goods": ["probes.a.p"]}},
            {"scores": {"goods": {"max": ["probes.a.p", "probes.a.p"]}}},
            {"rules": {"r1": {}}},
            {"rules": [None]},
            {"rules": [["r1"]]},
            {"rules": [rule("R1", HIGH)]},
            {"rules": [rule("r1", {"xor": [HIGH]})]},
            {"rules": [rule("r1", {"cel": HIGH})]},
            {"rules": [rule("r1", {"not": None})]},
            {"rules": [rule("r1", [HIGH])]},
            {"rules": [rule("r1", True)]},
            {"rules": [rule("r1", HIGH, ["reject"])]},
            {"rules": [rule("r1", HIGH, {"pass": {"overrides": []}})]},
            {"rules": [rule("r1", HIGH, on_unknown=["pass"])]},
            {"rules": [rule("r1", HIGH, mode=["live"])]},
            {"rules": [rule("r1", HIGH, reason={"english": "No."})]},
            {"version": "1"},
            {"surprise": 1},
        ],
    )
    def test_malformed_parts_are_problems_with_a_place(self, parts: dict[str, object]) -> None:
        sound = {"rules": [rule("r1", HIGH)]}
        with pytest.raises(PolicyInvalid) as invalid:
            build_ruleset(yaml.safe_dump(document([], **(sound | parts)), sort_keys=False).encode(), LISTS)
        assert all(one.line >= 1 and one.column >= 1 and one.source_line for one in invalid.value.problems[:1])


class TestFiles:
    def test_problems_of_policy_and_lists_come_together(self, tmp_path: Path) -> None:
        (tmp_path / "p.yaml").write_text("version: 1\n")
        (tmp_path / "words").mkdir()
        (tmp_path / "words" / "broken.txt").write_text("no header\n")
        with pytest.raises(PolicyInvalid) as invalid:
            load_ruleset(tmp_path / "p.yaml", tmp_path / "words")
        assert {one.file for one in invalid.value.problems} == {"p.yaml", "words/broken.txt"}

    def test_a_rule_over_an_unsound_list_is_no_second_problem(self, tmp_path: Path) -> None:
        text = (ROOT / "policies.yaml").read_text()
        (tmp_path / "p.yaml").write_text(text)
        (tmp_path / "words").mkdir()
        for path in (ROOT / "rules").glob("*.txt"):
            (tmp_path / "words" / path.name).write_bytes(path.read_bytes())
        (tmp_path / "words" / "scams.txt").write_text("no header\n")
        with pytest.raises(PolicyInvalid) as invalid:
            load_ruleset(tmp_path / "p.yaml", tmp_path / "words")
        assert {one.file for one in invalid.value.problems} == {"words/scams.txt"}

    def test_a_missing_policy_and_a_missing_directory(self, tmp_path: Path) -> None:
        with pytest.raises(PolicyInvalid) as invalid:
            load_ruleset(tmp_path / "p.yaml", tmp_path / "words")
        assert [one.file for one in invalid.value.problems] == ["p.yaml", "words"]


def test_chinese_ids_and_hyphens_are_named_as_what_they_are() -> None:
    with pytest.raises(PolicyInvalid) as invalid:
        build_ruleset("version: 1\ncategories:\n  货物: {title: {en: G}, severity: low}\nrules:\n".encode(), ())
    assert "`货物` is not an id" in str(invalid.value)


def test_severity_words_become_severities() -> None:
    rules = ruleset(rule("r1", HIGH, priority="low"))
    assert rules.policy.categories["goods"].severity is Severity.HIGH
    assert judge(rules, findings(a=0.9)).outcome is Outcome.REJECT
