"""A list that cannot be used: its last good version goes on, and everything else that was edited takes over."""

from pathlib import Path

import pytest

from app.errors import PolicyInvalid
from app.policy.load import load_ruleset
from app.policy.ruleset import Ruleset
from tests.policy.test_live import LIST, Store, live, policy

MORE = LIST.replace("words", "more") + "a second list\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "words.txt").write_text(LIST)
    (tmp_path / "rules" / "more.txt").write_text(MORE)
    (tmp_path / "p.yaml").write_text(policy(0.5))
    return tmp_path / "p.yaml", tmp_path / "rules"


def _terms(ruleset: Ruleset) -> dict[str, tuple[str, ...]]:
    return {one.name: one.terms for one in ruleset.lists}


async def test_one_bad_list_keeps_its_last_good_version_and_holds_nothing_else_up(files: tuple[Path, Path]) -> None:
    ruleset = live(files, Store())
    await ruleset.start()
    before = _terms(ruleset.current)

    (files[1] / "words.txt").write_text(LIST + "x\n")
    (files[1] / "more.txt").write_text(MORE + "a new term\n")
    files[0].write_text(policy(0.6))
    assert await ruleset.reload()

    assert ruleset.current.policy.thresholds["high"] == 0.6
    assert _terms(ruleset.current) == {"words": before["words"], "more": (*before["more"], "a new term")}
    (problem,) = ruleset.status.problems
    assert (problem.file, problem.line) == ("rules/words.txt", len(LIST.splitlines()) + 1)
    assert ruleset.status.failed_at is not None

    (files[1] / "words.txt").write_text(LIST + "mended\n")
    assert await ruleset.reload()
    assert ruleset.status.problems == ()
    assert _terms(ruleset.current)["words"] == (*before["words"], "mended")


async def test_a_bad_list_alone_activates_nothing_and_is_named(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    (files[1] / "words.txt").write_bytes(b"\xff\xfe")
    assert not await ruleset.reload()
    assert [problem.file for problem in ruleset.status.problems] == ["rules/words.txt"]
    assert len(store.sources) == 1


async def test_a_list_of_an_unknown_category_is_a_bad_list(files: tuple[Path, Path]) -> None:
    ruleset = live(files, Store())
    await ruleset.start()
    before = _terms(ruleset.current)
    (files[1] / "words.txt").write_text(LIST.replace("goods", "nonsense"))
    files[0].write_text(policy(0.6))
    assert await ruleset.reload()
    assert _terms(ruleset.current) == before
    assert [problem.file for problem in ruleset.status.problems] == ["rules/words.txt"]


async def test_a_bad_list_that_was_never_good_is_not_left_out_silently(files: tuple[Path, Path]) -> None:
    ruleset = live(files, Store())
    await ruleset.start()
    before = ruleset.current
    (files[1] / "fresh.txt").write_text(LIST + "x\n")
    files[0].write_text(policy(0.6))
    assert not await ruleset.reload()
    assert ruleset.current is before
    assert [problem.file for problem in ruleset.status.problems] == ["rules/fresh.txt"]


async def test_a_bad_list_at_a_restart_holds_no_other_edit_up(files: tuple[Path, Path]) -> None:
    store = Store()
    first = live(files, store)
    await first.start()
    (files[1] / "words.txt").write_text(LIST + "x\n")
    files[0].write_text(policy(0.6))

    again = live(files, store)
    await again.start()
    assert again.current.policy.thresholds["high"] == 0.6
    assert _terms(again.current) == _terms(first.current)
    assert [problem.file for problem in again.status.problems] == ["rules/words.txt"]


def test_a_directory_that_is_gone_is_no_bad_list(files: tuple[Path, Path]) -> None:
    good = load_ruleset(*files).lists
    for path in files[1].iterdir():
        path.unlink()
    files[1].rmdir()
    with pytest.raises(PolicyInvalid) as caught:
        load_ruleset(*files, last_good=good)
    assert "cannot be read" in caught.value.detail


def test_of_a_bad_policy_and_a_bad_list_both_are_told(files: tuple[Path, Path]) -> None:
    good = load_ruleset(*files).lists
    (files[1] / "words.txt").write_text(LIST + "x\n")
    files[0].write_text(policy(0.6).replace("thresholds.high", "thresholds.hihg"))
    with pytest.raises(PolicyInvalid) as caught:
        load_ruleset(*files, last_good=good)
    assert {problem.file for problem in caught.value.problems} == {"p.yaml", "rules/words.txt"}
