"""A policy that is split into files is the policy it would be as one, and everything about it knows the files."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Outcome, RulesetText
from app.errors import PolicyInvalid
from app.policy.bundle import join_bundle, split_bundle
from app.policy.files import PolicyFiles
from app.policy.include import MAX_FILES, MAX_INCLUDE_DEPTH
from app.policy.live import LiveRuleset
from app.policy.load import build_ruleset, load_ruleset
from app.policy.memory import MemoryRulesets
from app.policy.ruleset import Ruleset
from app.policy.versions import rebuild
from app.policy.yaml_text import MAX_BYTES
from tests.policy.build import findings, judge

MAIN = """\
version: 1
include: [rules/goods.yaml, numbers.yaml]
categories:
  goods: {title: {en: Goods}, severity: high}
probes:
  a: {category: goods, questions: {en: "a?"}}
"""
GOODS = """\
rules:
  - {id: r1, category: goods, when: probes.a.p > thresholds.high, then: reject, reason: {en: No.}}
"""
NUMBERS = "thresholds: {high: 0.9}\nsurfaces: {chat: {thresholds: {high: 0.5}}}\n"
FILES = {"rules/goods.yaml": GOODS, "numbers.yaml": NUMBERS}


def written(folder: Path, files: Mapping[str, str], main: str = MAIN) -> Path:
    (folder / "lists").mkdir(exist_ok=True)
    (folder / "policies.yaml").write_text(main)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "policies.yaml"


def loaded(folder: Path, files: Mapping[str, str] = FILES, main: str = MAIN) -> Ruleset:
    return load_ruleset(written(folder, files, main), folder / "lists")


def refused(folder: Path, files: Mapping[str, str] = FILES, main: str = MAIN) -> list[str]:
    with pytest.raises(PolicyInvalid) as invalid:
        loaded(folder, files, main)
    return [f"{one.file}:{one.line}:{one.column}: {one.message}" for one in invalid.value.problems]


class TestTheWhole:
    def test_is_put_together(self, tmp_path: Path) -> None:
        rules = loaded(tmp_path)
        assert judge(rules, findings(a=0.6), surface="chat").outcome is Outcome.REJECT
        assert judge(rules, findings(a=0.6)).outcome is Outcome.PASS
        assert rules.warnings == ()

    def test_is_what_its_text_says_wherever_it_comes_from(self, tmp_path: Path) -> None:
        from_files = loaded(tmp_path)
        again = build_ruleset(from_files.source.encode(), ())
        assert (again.source, again.digest) == (from_files.source, from_files.digest)
        stored = RulesetText(from_files.digest, from_files.policy_digest, from_files.source, ())
        assert rebuild(stored).digest == from_files.digest

    def test_is_the_same_in_whatever_order_a_text_brings_its_files(self, tmp_path: Path) -> None:
        other_way = join_bundle(MAIN, dict(reversed(FILES.items())))
        assert build_ruleset(other_way.encode(), ()).digest == loaded(tmp_path).digest

    def test_may_be_saved_as_one_file(self, tmp_path: Path) -> None:
        split = loaded(tmp_path)
        (tmp_path / "one").mkdir()
        assert loaded(tmp_path / "one", {}, split.source).digest == split.digest

    def test_has_another_digest_when_any_file_differs(self, tmp_path: Path) -> None:
        before = loaded(tmp_path).policy_digest
        assert loaded(tmp_path, FILES | {"numbers.yaml": NUMBERS.replace("0.9", "0.8")}).policy_digest != before
        assert loaded(tmp_path, FILES | {"numbers.yaml": f"# \n{NUMBERS}"}).policy_digest != before

    def test_without_includes_is_its_own_text(self, tmp_path: Path) -> None:
        alone = MAIN.replace("include: [rules/goods.yaml, numbers.yaml]\n", "") + GOODS + NUMBERS
        assert loaded(tmp_path, {}, alone).source == alone

    def test_files_may_include_files(self, tmp_path: Path) -> None:
        main = MAIN.replace("rules/goods.yaml, numbers.yaml", "all.yaml")
        files = FILES | {"all.yaml": "include: [rules/goods.yaml, numbers.yaml]"}
        rules = loaded(tmp_path, files, main)
        assert [one.id for one in rules.policy.rules] == ["r1"]
        assert split_bundle(rules.source).parts.keys() == {"all.yaml", "rules/goods.yaml", "numbers.yaml"}


@settings(max_examples=60)
@given(st.text("ab-# \n\r:", max_size=30), st.dictionaries(st.sampled_from(["a.yaml", "b/c.yml"]), st.text("x:- \n\r")))
def test_what_is_joined_comes_apart_again(main: str, parts: dict[str, str]) -> None:
    joined = join_bundle(main, parts)
    split = split_bundle(joined)
    assert split.parts.keys() == parts.keys()
    assert all(split.parts[name].removesuffix("\n") == part.removesuffix("\n") for name, part in parts.items())
    assert join_bundle(split.main, split.parts) == joined


class TestProblems:
    def test_are_told_in_the_file_where_they_stand(self, tmp_path: Path) -> None:
        files = {
            "rules/goods.yaml": GOODS.replace("probes.a.p", "probes.aa.p").replace("goods, when", "godos, when"),
            "numbers.yaml": "thresholds:\n  high: lots\n  low: 0.1\nsurfaces: {chat: {thresholds: {hihg: 0.5}}}\n",
        }
        said = refused(tmp_path, files)
        assert said == [
            "numbers.yaml:2:9: must be a number",
            "numbers.yaml:4:32: there is no threshold `hihg`",
            "rules/goods.yaml:2:24: `godos` is not among the `categories`",
            "rules/goods.yaml:2:37: unknown name `probes.aa.p`",
        ]

    def test_of_what_can_never_be_on_a_surface_are_told_at_the_threshold(self, tmp_path: Path) -> None:
        files = FILES | {
            "numbers.yaml": "thresholds: {high: 0.9}\nsurfaces:\n  chat:\n    thresholds:\n      high: 2\n"
        }
        assert refused(tmp_path, files) == ["numbers.yaml:5:7: `r1` can never be true on this surface"]

    def test_of_yaml_are_told_there_and_nothing_is_said_of_what_the_file_would_have_defined(
        self, tmp_path: Path
    ) -> None:
        assert refused(tmp_path, FILES | {"numbers.yaml": "thresholds: {high: 0.9"}) == [
            "numbers.yaml:1:23: the bracket opened in line 1 is not closed before this"
        ]

    def test_of_the_same_name_in_two_files(self, tmp_path: Path) -> None:
        with pytest.raises(PolicyInvalid) as invalid:
            loaded(tmp_path, FILES | {"rules/goods.yaml": f"{GOODS}thresholds: {{high: 0.8}}\n"})
        [problem] = invalid.value.problems
        assert (problem.file, problem.message) == ("numbers.yaml", "`thresholds.high` is given twice")
        assert problem.hint == "first in rules/goods.yaml:3"

    def test_of_two_rules_with_one_id_in_two_files(self, tmp_path: Path) -> None:
        assert refused(tmp_path, FILES | {"numbers.yaml": NUMBERS + GOODS}) == [
            "numbers.yaml:4:10: there are two rules called `r1`"
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("version: 1\n", "numbers.yaml:1:1: `version` stands in the policy itself, not in what it includes"),
            ("defaults: {}\n", "numbers.yaml:1:1: `defaults` stands in the policy itself, not in what it includes"),
            ("tresholds: {}\n", "numbers.yaml:1:1: unknown field `tresholds`"),
            ("rules: {}\n", "numbers.yaml:1:8: must be a list"),
            ("thresholds: []\n", "numbers.yaml:1:13: must be a mapping of `key: value` lines"),
            ("- rules\n", "numbers.yaml:1:1: what is included is a mapping of `key: value` lines"),
            ("", "numbers.yaml:1:1: the file is empty"),
            ("--- # file: more.yaml\na: 1\n", "numbers.yaml:1:1: `--- # file:` begins another file"),
        ],
    )
    def test_of_form(self, tmp_path: Path, text: str, said: str) -> None:
        assert said in refused(tmp_path, FILES | {"numbers.yaml": text})


class TestWhatCannotBeIncluded:
    @pytest.mark.parametrize(
        "name",
        [
            "../secret.yaml",
            "/etc/passwd",
            "rules/../../secret.yaml",
            "./numbers.yaml",
            ".hidden.yaml",
            "rules//goods.yaml",
            "rules\\goods.yaml",
            "numbers.txt",
            "numbers",
            "~/numbers.yaml",
            "numbers.yaml ",
            "a" * 200 + ".yaml",
            "num\u0431ers.yaml",
            "",
        ],
    )
    def test_names_that_are_no_files_below_the_folder(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret.yaml").write_text(NUMBERS)
        (tmp_path / "policy").mkdir()
        main = MAIN.replace("numbers.yaml", f'"{name}"'.replace("\\", "\\\\"))
        [said] = refused(tmp_path / "policy", FILES, main)
        assert said.startswith("policies.yaml:2:29: ")
        assert "does not name a file to include" in said

    def test_what_is_no_list_of_texts(self, tmp_path: Path) -> None:
        assert refused(tmp_path, FILES, MAIN.replace("[rules/goods.yaml, numbers.yaml]", "numbers.yaml"))[0].startswith(
            "policies.yaml:2:10: must be a list of file names"
        )
        assert "does not name a file" in refused(tmp_path, FILES, MAIN.replace("numbers.yaml", "{a: [b]}"))[0]
        assert "`7` does not name a file" in refused(tmp_path, FILES, MAIN.replace("numbers.yaml", "7"))[0]

    def test_links_that_lead_out(self, tmp_path: Path) -> None:
        (tmp_path / "secret.yaml").write_text(NUMBERS)
        folder = tmp_path / "policy"
        folder.mkdir()
        written(folder, {"rules/goods.yaml": GOODS})
        (folder / "numbers.yaml").symlink_to(tmp_path / "secret.yaml")
        assert refused(folder, {}) == [
            "policies.yaml:2:29: `numbers.yaml` cannot be read: it leads out of the policy's folder"
        ]
        (folder / "numbers.yaml").unlink()
        (folder / "deeper").symlink_to(tmp_path, target_is_directory=True)
        assert "leads out" in refused(folder, {}, MAIN.replace("numbers.yaml", "deeper/secret.yaml"))[0]

    def test_links_that_stay_inside_are_fine(self, tmp_path: Path) -> None:
        """So a ConfigMap mounts its files."""
        for version in ("one", "two"):
            (tmp_path / f"..{version}").mkdir()
            (tmp_path / f"..{version}" / "numbers.yaml").write_text(NUMBERS)
        (tmp_path / "..data").symlink_to("..one")
        (tmp_path / "numbers.yaml").symlink_to("..data/numbers.yaml")
        assert loaded(tmp_path, {"rules/goods.yaml": GOODS}).policy.thresholds == {"high": 0.9}

    def test_links_that_go_round(self, tmp_path: Path) -> None:
        (tmp_path / "numbers.yaml").symlink_to("numbers.yaml")
        [said] = refused(tmp_path, {"rules/goods.yaml": GOODS})
        assert "`numbers.yaml` cannot be read: " in said

    def test_what_is_no_regular_file(self, tmp_path: Path) -> None:
        (tmp_path / "numbers.yaml").mkdir()
        assert "not a regular file" in refused(tmp_path, {"rules/goods.yaml": GOODS})[0]

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        assert refused(tmp_path, {"numbers.yaml": NUMBERS}) == [
            "policies.yaml:2:11: `rules/goods.yaml` cannot be read: No such file or directory"
        ]

    def test_what_is_not_utf_8(self, tmp_path: Path) -> None:
        (tmp_path / "numbers.yaml").write_bytes(b"thresholds: {high: 0.9} # \xff")
        assert "`numbers.yaml` is not UTF-8" in refused(tmp_path, {"rules/goods.yaml": GOODS})[0]

    def test_a_file_twice(self, tmp_path: Path) -> None:
        files = FILES | {"numbers.yaml": f"include: [rules/goods.yaml]\n{NUMBERS}"}
        assert refused(tmp_path, files) == ["numbers.yaml:1:11: `rules/goods.yaml` is included already"]

    def test_a_loop(self, tmp_path: Path) -> None:
        files = FILES | {"numbers.yaml": f"include: [more.yaml]\n{NUMBERS}", "more.yaml": "include: [numbers.yaml]"}
        assert refused(tmp_path, files) == [
            "more.yaml:1:11: `numbers.yaml` would include itself: numbers.yaml → more.yaml → numbers.yaml"
        ]
        assert "would include itself" in refused(tmp_path, FILES, MAIN.replace("numbers.yaml", "policies.yaml"))[0]

    def test_too_deep(self, tmp_path: Path) -> None:
        deep = MAX_INCLUDE_DEPTH + 1
        files = {f"f{at}.yaml": f"include: [f{at + 1}.yaml]\n" for at in range(1, deep + 1)}
        said = refused(tmp_path, FILES | files, MAIN.replace("numbers.yaml", "numbers.yaml, f1.yaml"))
        assert f"f{MAX_INCLUDE_DEPTH}.yaml:1:11: files include each other at most {MAX_INCLUDE_DEPTH} deep" in said

    def test_too_many(self, tmp_path: Path) -> None:
        names = [f"f{at}.yaml" for at in range(MAX_FILES)]
        files = FILES | {name: f"thresholds: {{t{at}: 0.5}}" for at, name in enumerate(names)}
        said = refused(tmp_path, files, MAIN.replace("numbers.yaml", ", ".join(["numbers.yaml", *names])))
        assert len(said) == 2
        assert all(f"a policy includes at most {MAX_FILES} files" in one for one in said)

    def test_too_much(self, tmp_path: Path) -> None:
        half = "#" * (MAX_BYTES // 2)
        files = {"rules/goods.yaml": f"{half}\n{GOODS}", "numbers.yaml": f"{half}\n{NUMBERS}"}
        assert refused(tmp_path, files) == [
            f"policies.yaml:2:29: with `numbers.yaml` the policy is larger than {MAX_BYTES // 1024} KiB"
        ]

    def test_what_is_kept_can_be_read_again(self, tmp_path: Path) -> None:
        """The marks between the files count as well."""
        room = MAX_BYTES - len(join_bundle(MAIN, FILES).encode())
        sound = loaded(tmp_path, FILES | {"numbers.yaml": NUMBERS + "#" * room})
        assert len(sound.source.encode()) == MAX_BYTES
        assert build_ruleset(sound.source.encode(), ()).digest == sound.digest
        assert "larger than" in refused(tmp_path, FILES | {"numbers.yaml": NUMBERS + "#" * (room + 1)})[0]


class TestATextWithoutAFolder:
    def test_brings_its_files_along(self) -> None:
        with pytest.raises(PolicyInvalid) as invalid:
            build_ruleset(join_bundle(MAIN, {"numbers.yaml": NUMBERS}).encode(), ())
        [problem] = invalid.value.problems
        assert problem.message == "`rules/goods.yaml` is not part of this text"
        assert problem.hint is not None
        assert "--- # file:" in problem.hint

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ("--- # file: loose.yaml\nrules: []\n", "13:1: nothing includes `loose.yaml`"),
            ("--- # file: numbers.yaml\nrules: []\n", "13:1: `numbers.yaml` is in this text twice"),
            ("--- # file: ../up.yaml\nrules: []\n", "13:1: nothing includes `../up.yaml`"),
            ("---\nrules: []\n", "a policy is one document"),
        ],
    )
    def test_brings_nothing_else(self, more: str, said: str) -> None:
        with pytest.raises(PolicyInvalid) as invalid:
            build_ruleset(f"{join_bundle(MAIN, FILES)}{more}".encode(), ())
        assert said in str(invalid.value)

    def test_that_is_nothing_but_files(self) -> None:
        with pytest.raises(PolicyInvalid, match="the file is empty"):
            build_ruleset(b"--- # file: numbers.yaml\nthresholds: {}\n", ())


class TestTheFingerprint:
    def test_changes_with_whatever_is_included(self, tmp_path: Path) -> None:
        files = PolicyFiles(written(tmp_path, FILES), tmp_path / "lists")
        seen = {files.fingerprint()}
        for name, text in FILES.items():
            (tmp_path / name).write_text(f"# an edit\n{text}")
            seen.add(files.fingerprint())
        (tmp_path / "numbers.yaml").write_text(f"include: [deeper/more.yaml]\n{NUMBERS}")
        seen.add(files.fingerprint())
        written(tmp_path, {"deeper/more.yaml": "{}"})
        seen.add(files.fingerprint())
        (tmp_path / "rules" / "goods.yaml").unlink()
        seen.add(files.fingerprint())
        assert len(seen) == 6

    def test_does_not_change_with_what_is_not(self, tmp_path: Path) -> None:
        files = PolicyFiles(written(tmp_path, FILES), tmp_path / "lists")
        before = files.fingerprint()
        (tmp_path / "rules" / "other.yaml").write_text("rules: []")
        assert files.fingerprint() == before

    def test_is_of_loops_and_missing_files_too(self, tmp_path: Path) -> None:
        loop = {"numbers.yaml": "include: [more.yaml]", "more.yaml": "include: [numbers.yaml, gone.yaml]"}
        assert PolicyFiles(written(tmp_path, loop), tmp_path / "lists").fingerprint()


async def test_directories_of_included_files_are_watched_as_they_come(tmp_path: Path) -> None:
    files = PolicyFiles(written(tmp_path, {"numbers.yaml": NUMBERS}), tmp_path / "lists")
    ticks = files.ticks(poll_interval_s=0.05)
    try:
        await anext(ticks)
        written(tmp_path, FILES)
        seen = files.fingerprint()
        for _ in range(3):
            await anext(ticks)
        (tmp_path / "rules" / "goods.yaml").write_text(GOODS.replace("reject", "review"))
        await anext(ticks)
        assert files.fingerprint() != seen
    finally:
        await ticks.aclose()


async def test_files_the_api_and_rollback_are_doors_to_the_whole(tmp_path: Path) -> None:
    live = LiveRuleset(written(tmp_path, FILES), tmp_path / "lists", store=MemoryRulesets())
    await live.start()
    first = live.current
    (tmp_path / "numbers.yaml").write_text(NUMBERS.replace("0.9", "0.6"))
    assert await live.reload()
    assert judge(live.current, findings(a=0.7)).outcome is Outcome.REJECT

    put = first.source.replace("then: reject", "then: review")
    await live.put(put.encode(), expected=live.current.policy_digest, author="key", why=None)
    assert judge(live.current, findings(a=0.95)).outcome is Outcome.REVIEW

    await live.restore(first.digest, author="key", why=None)
    assert (live.current.source, live.current.digest) == (first.source, first.digest)
    assert judge(live.current, findings(a=0.7)).outcome is Outcome.PASS

    (tmp_path / "numbers.yaml").write_text("thresholds: {high: 0.9")
    assert not await live.reload()
    assert live.current.digest == first.digest
    assert [one.file for one in live.status.problems] == ["numbers.yaml"]
