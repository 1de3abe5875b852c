import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from app.errors import PolicyInvalid, StoreUnavailable
from app.policy.live import LiveRuleset
from app.policy.ruleset import Ruleset
from tests.policy.build import document, rule

LIST = "---\ncategory: goods\nseverity: high\nlanguages: en\n---\nforbidden thing\n"
#: Long enough that only an event of the file system, not the poll, can explain a change seen in a test.
NEVER_S = 3600.0


class Recorder:
    """What `main` hands in: here it remembers, and fails on demand."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.fault: Exception | None = None

    async def __call__(self, ruleset: Ruleset, source: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.seen.append((ruleset.digest, source))


def policy(high: float, *, count: bool = True) -> str:
    rules = [rule("r1", "probes.a.p > thresholds.high")]
    if count:
        rules.append(rule("r2", "keywords.words.count > 0"))
    return yaml.safe_dump(document(rules, thresholds={"high": high}), sort_keys=False)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "words.txt").write_text(LIST)
    (tmp_path / "p.yaml").write_text(policy(0.5))
    return tmp_path / "p.yaml", tmp_path / "rules"


def live(files: tuple[Path, Path], recorder: Recorder, *, poll_interval_s: float = NEVER_S) -> LiveRuleset:
    return LiveRuleset(*files, on_activate=recorder, poll_interval_s=poll_interval_s)


@asynccontextmanager
async def watching(ruleset: LiveRuleset) -> AsyncIterator[None]:
    await ruleset.start()
    watch = asyncio.create_task(ruleset.watch())
    # The watch is set up in a thread. What is saved before that would be seen by the poll alone.
    await asyncio.sleep(0.3)
    try:
        yield
    finally:
        watch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is awaited is the file system, which sets no event
            await asyncio.sleep(0.02)


async def test_start_loads_records_and_puts_in_force(files: tuple[Path, Path]) -> None:
    recorder = Recorder()
    ruleset = live(files, recorder)
    await ruleset.start()
    assert recorder.seen == [(ruleset.current.digest, "start")]
    assert ruleset.status.digest == ruleset.current.digest
    assert ruleset.status.problems == ()


async def test_start_refuses_a_broken_policy(files: tuple[Path, Path]) -> None:
    files[0].write_text("version: 2\n")
    recorder = Recorder()
    with pytest.raises(PolicyInvalid):
        await live(files, recorder).start()
    assert recorder.seen == []


async def test_a_good_edit_takes_over_once(files: tuple[Path, Path]) -> None:
    recorder = Recorder()
    ruleset = live(files, recorder)
    await ruleset.start()
    first = ruleset.current
    assert not await ruleset.reload()
    files[0].write_text(policy(0.6))
    assert await ruleset.reload()
    assert not await ruleset.reload()
    assert ruleset.current.policy.thresholds["high"] == 0.6
    assert first.policy.thresholds["high"] == 0.5
    assert recorder.seen[1:] == [(ruleset.current.digest, "file")]


async def test_a_bad_edit_changes_nothing_and_is_named(files: tuple[Path, Path]) -> None:
    recorder = Recorder()
    ruleset = live(files, recorder)
    await ruleset.start()
    before = ruleset.current
    files[0].write_text(policy(0.6).replace("thresholds.high", "thresholds.hihg"))
    assert not await ruleset.reload()
    assert ruleset.current is before
    [problem] = ruleset.status.problems
    assert (problem.file, problem.message) == ("p.yaml", "unknown name `thresholds.hihg`")
    assert ruleset.status.failed_at is not None
    assert len(recorder.seen) == 1

    files[0].write_text(policy(0.5))
    await ruleset.reload()
    assert (ruleset.status.problems, ruleset.status.failed_at) == ((), None)
    assert len(recorder.seen) == 1, "going back to what is in force is no activation"


async def test_a_policy_that_is_gone_is_a_bad_edit(files: tuple[Path, Path]) -> None:
    ruleset = live(files, Recorder())
    await ruleset.start()
    files[0].unlink()
    assert not await ruleset.reload()
    assert "cannot be read" in ruleset.status.problems[0].message
    assert ruleset.current.policy.thresholds["high"] == 0.5


async def test_a_saved_list_activates_and_a_lost_one_does_not(files: tuple[Path, Path]) -> None:
    recorder = Recorder()
    ruleset = live(files, recorder)
    await ruleset.start()
    (files[1] / "words.txt").write_text(LIST + "another thing\n")
    assert await ruleset.reload()
    assert ruleset.current.lists[0].terms == ("forbidden thing", "another thing")
    shutil.rmtree(files[1])
    assert not await ruleset.reload()
    assert ruleset.current.lists[0].terms == ("forbidden thing", "another thing")
    assert ruleset.status.problems


async def test_what_cannot_be_recorded_does_not_decide_and_is_tried_again(files: tuple[Path, Path]) -> None:
    recorder = Recorder()
    ruleset = live(files, recorder)
    await ruleset.start()
    recorder.fault = StoreUnavailable("the disk is full")
    files[0].write_text(policy(0.6))
    assert not await ruleset.reload()
    assert ruleset.current.policy.thresholds["high"] == 0.5
    assert ruleset.status.problems[0].message.endswith("could not be recorded: the disk is full")
    recorder.fault = None
    assert await ruleset.reload()
    assert ruleset.current.policy.thresholds["high"] == 0.6
    assert ruleset.status.problems == ()


async def test_a_file_that_changes_while_it_is_read_waits_for_the_next_look(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ruleset = live(files, Recorder())
    await ruleset.start()
    files[0].write_text(policy(0.6, count=False))
    real = LiveRuleset._fingerprint
    looks = iter([None, files[0]])

    def half_written(self: LiveRuleset) -> str:
        target = next(looks, None)
        if target is not None:
            target.write_text(policy(0.7))
        return real(self)

    monkeypatch.setattr(LiveRuleset, "_fingerprint", half_written)
    assert not await ruleset.reload()
    assert ruleset.current.policy.thresholds["high"] == 0.5
    assert await ruleset.reload()
    assert ruleset.current.policy.thresholds["high"] == 0.7


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _rename(path: Path, text: str) -> None:
    """As most editors save."""
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.mark.parametrize("save", [_write, _rename])
async def test_the_watch_sees_a_save(files: tuple[Path, Path], save: Callable[[Path, str], None]) -> None:
    ruleset = live(files, Recorder())
    async with watching(ruleset):
        save(files[0], policy(0.6))
        await until(lambda: ruleset.current.policy.thresholds["high"] == 0.6)
        save(files[0], "version: [")
        await until(lambda: bool(ruleset.status.problems))
        save(files[1] / "words.txt", LIST + "another thing\n")
        save(files[0], policy(0.7))
        await until(lambda: ruleset.current.policy.thresholds["high"] == 0.7)
        assert len(ruleset.current.lists[0].terms) == 2


async def test_the_watch_sees_a_swap_of_links(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: p.yaml -> ..data/p.yaml, ..data -> a directory that is swapped."""
    for version, high in (("v1", 0.5), ("v2", 0.6)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "p.yaml").write_text(policy(high, count=False))
    (tmp_path / "mount").mkdir()
    (tmp_path / "rules").mkdir()
    (tmp_path / "mount" / "..data").symlink_to(tmp_path / "v1")
    (tmp_path / "mount" / "p.yaml").symlink_to(Path("..data") / "p.yaml")
    ruleset = live((tmp_path / "mount" / "p.yaml", tmp_path / "rules"), Recorder())
    async with watching(ruleset):
        (tmp_path / "mount" / "..new").symlink_to(tmp_path / "v2")
        (tmp_path / "mount" / "..new").replace(tmp_path / "mount" / "..data")
        await until(lambda: ruleset.current.policy.thresholds["high"] == 0.6)


async def test_the_poll_sees_what_no_event_tells(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_watch(*_paths: Path, **_options: object) -> Awaitable[None]:
        raise OSError("no inotify watches left")

    monkeypatch.setattr("app.policy.live.awatch", no_watch)
    ruleset = live(files, Recorder(), poll_interval_s=0.05)
    async with watching(ruleset):
        files[0].write_text(policy(0.6))
        await until(lambda: ruleset.current.policy.thresholds["high"] == 0.6)
