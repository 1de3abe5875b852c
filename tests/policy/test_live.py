import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from app.domain import Activation, AuditEvent, Change, RulesetText
from app.errors import NotFound, PolicyConflict, PolicyInvalid, StoreUnavailable
from app.policy import versions
from app.policy.files import PolicyFiles
from app.policy.live import LiveRuleset
from app.policy.memory import MemoryRulesets
from tests.policy.build import document, rule

LIST = "---\ncategory: goods\nseverity: high\nlanguages: en\n---\nforbidden thing\n"
#: Long enough that only an event of the file system, not the poll, can explain a change seen in a test.
NEVER_S = 3600.0


class Store(MemoryRulesets):
    """Fails on demand."""

    fault: Exception | None = None

    @property
    def sources(self) -> list[tuple[str, str]]:
        return [(event.subject, str(event.body["source"])) for event in self.events]

    async def activate(
        self, ruleset: RulesetText, change: Change, *, after_seq: int | None, events: Sequence[AuditEvent]
    ) -> Activation | None:
        if self.fault is not None:
            raise self.fault
        return await super().activate(ruleset, change, after_seq=after_seq, events=events)


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


def live(
    files: tuple[Path, Path],
    store: Store,
    *,
    poll_interval_s: float = NEVER_S,
    follow_interval_s: float = NEVER_S,
    beside: bool = False,
) -> LiveRuleset:
    return LiveRuleset(
        *files, store=store, beside=beside, poll_interval_s=poll_interval_s, follow_interval_s=follow_interval_s
    )


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
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    assert store.sources == [(ruleset.current.digest, "start")]
    assert ruleset.status.digest == ruleset.current.digest
    assert ruleset.status.problems == ()


async def test_start_refuses_a_broken_policy(files: tuple[Path, Path]) -> None:
    files[0].write_text("version: 2\n")
    store = Store()
    with pytest.raises(PolicyInvalid):
        await live(files, store).start()
    assert store.sources == []


async def test_a_good_edit_takes_over_once(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    first = ruleset.current
    assert not await ruleset.reload()
    files[0].write_text(policy(0.6))
    assert await ruleset.reload()
    assert not await ruleset.reload()
    assert ruleset.current.policy.thresholds["high"] == 0.6
    assert first.policy.thresholds["high"] == 0.5
    assert store.sources[1:] == [(ruleset.current.digest, "file")]


async def test_a_bad_edit_changes_nothing_and_is_named(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    before = ruleset.current
    files[0].write_text(policy(0.6).replace("thresholds.high", "thresholds.hihg"))
    assert not await ruleset.reload()
    assert ruleset.current is before
    [problem] = ruleset.status.problems
    assert (problem.file, problem.message) == ("p.yaml", "unknown name `thresholds.hihg`")
    assert ruleset.status.failed_at is not None
    assert len(store.sources) == 1

    files[0].write_text(policy(0.5))
    await ruleset.reload()
    assert (ruleset.status.problems, ruleset.status.failed_at) == ((), None)
    assert len(store.sources) == 1, "going back to what is in force is no activation"


async def test_a_policy_that_is_gone_is_a_bad_edit(files: tuple[Path, Path]) -> None:
    ruleset = live(files, Store())
    await ruleset.start()
    files[0].unlink()
    assert not await ruleset.reload()
    assert "cannot be read" in ruleset.status.problems[0].message
    assert ruleset.current.policy.thresholds["high"] == 0.5


async def test_a_pipe_in_the_place_of_the_policy_is_a_bad_edit_that_holds_nothing_up(files: tuple[Path, Path]) -> None:
    ruleset = live(files, Store())
    await ruleset.start()
    files[0].unlink()
    os.mkfifo(files[0])
    async with asyncio.timeout(10):
        assert not await ruleset.reload()
    assert ruleset.status.problems[0].message == "cannot be read: it is not a regular file"
    files[0].unlink()
    files[0].write_text(policy(0.6))
    assert await ruleset.reload()


async def test_an_emptied_directory_is_told_from_one_that_is_gone(files: tuple[Path, Path]) -> None:
    ruleset = live(files, Store())
    await ruleset.start()
    shutil.rmtree(files[1])
    assert not await ruleset.reload()
    assert any("No such file" in problem.message for problem in ruleset.status.problems)
    files[1].mkdir()
    assert not await ruleset.reload()
    assert ruleset.status.problems
    assert not any("No such file" in problem.message for problem in ruleset.status.problems)


async def test_what_is_logged_beside_the_policy_does_not_drive_the_watch(files: tuple[Path, Path]) -> None:
    """A log in the watched directory changes it whenever something is logged about what the store refused."""
    refused = 0

    class Full(Store):
        async def activate(
            self, ruleset: RulesetText, change: Change, *, after_seq: int | None, events: Sequence[AuditEvent]
        ) -> Activation | None:
            nonlocal refused
            if self.sources:
                refused += 1
                raise StoreUnavailable("the disk is full")
            return await super().activate(ruleset, change, after_seq=after_seq, events=events)

    ruleset = live(files, Full())
    async with watching(ruleset):
        files[0].write_text(policy(0.6))
        await until(lambda: refused > 0)
        for _ in range(5):
            (files[0].parent / "log.txt").touch()
            await asyncio.sleep(0.2)
    assert refused == 1


async def test_a_saved_list_activates_and_a_lost_one_does_not(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    (files[1] / "words.txt").write_text(LIST + "another thing\n")
    assert await ruleset.reload()
    assert ruleset.current.lists[0].terms == ("forbidden thing", "another thing")
    shutil.rmtree(files[1])
    assert not await ruleset.reload()
    assert ruleset.current.lists[0].terms == ("forbidden thing", "another thing")
    assert ruleset.status.problems


async def test_what_cannot_be_recorded_does_not_decide_and_is_tried_again(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    store.fault = StoreUnavailable("the disk is full")
    files[0].write_text(policy(0.6))
    assert not await ruleset.reload()
    assert ruleset.current.policy.thresholds["high"] == 0.5
    assert ruleset.status.problems[0].message.endswith("could not be recorded: the disk is full")
    store.fault = None
    assert await ruleset.reload()
    assert ruleset.current.policy.thresholds["high"] == 0.6
    assert ruleset.status.problems == ()


async def test_a_file_that_changes_while_it_is_read_waits_for_the_next_look(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ruleset = live(files, Store())
    await ruleset.start()
    files[0].write_text(policy(0.6, count=False))
    real = PolicyFiles.fingerprint
    looks = iter([None, files[0]])

    def half_written(self: PolicyFiles) -> str:
        target = next(looks, None)
        if target is not None:
            target.write_text(policy(0.7))
        return real(self)

    monkeypatch.setattr(PolicyFiles, "fingerprint", half_written)
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
    ruleset = live(files, Store())
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
    ruleset = live((tmp_path / "mount" / "p.yaml", tmp_path / "rules"), Store())
    async with watching(ruleset):
        (tmp_path / "mount" / "..new").symlink_to(tmp_path / "v2")
        (tmp_path / "mount" / "..new").replace(tmp_path / "mount" / "..data")
        await until(lambda: ruleset.current.policy.thresholds["high"] == 0.6)


async def test_the_poll_sees_what_no_event_tells(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_watch(*_paths: Path, **_options: object) -> Awaitable[None]:
        raise OSError("no inotify watches left")

    monkeypatch.setattr("app.policy.files.awatch", no_watch)
    ruleset = live(files, Store(), poll_interval_s=0.05)
    async with watching(ruleset):
        files[0].write_text(policy(0.6))
        await until(lambda: ruleset.current.policy.thresholds["high"] == 0.6)


async def test_a_restart_with_the_same_files_activates_nothing(files: tuple[Path, Path]) -> None:
    store = Store()
    await live(files, store).start()
    await live(files, store).start()
    assert len(store.events) == 1


async def test_a_restart_with_stale_files_goes_on_with_what_the_store_says(files: tuple[Path, Path]) -> None:
    store = Store()
    first = live(files, store)
    await first.start()
    await first.put(policy(0.6).encode(), expected=None, author="key-1", why=None)
    second = live(files, store)
    await second.start()
    assert second.current.policy.thresholds["high"] == 0.6
    assert second.status.notice is not None
    assert not await second.reload()
    assert len(store.events) == 2


async def test_a_restart_with_older_files_activates_nothing(files: tuple[Path, Path]) -> None:
    store = Store()
    first = live(files, store)
    await first.start()
    files[0].write_text(policy(0.6))
    await first.reload()
    files[0].write_text(policy(0.5))
    second = live(files, store)
    await second.start()
    assert second.current.policy.thresholds["high"] == 0.6


async def test_files_that_were_edited_while_nothing_ran_activate(files: tuple[Path, Path]) -> None:
    store = Store()
    await live(files, store).start()
    files[0].write_text(policy(0.7))
    ruleset = live(files, store)
    await ruleset.start()
    assert ruleset.current.policy.thresholds["high"] == 0.7


async def test_a_broken_file_at_a_restart_leaves_the_last_good_version(files: tuple[Path, Path]) -> None:
    store = Store()
    await live(files, store).start()
    files[0].write_text("version: [")
    ruleset = live(files, store)
    await ruleset.start()
    assert ruleset.current.policy.thresholds["high"] == 0.5
    assert ruleset.status.problems


async def test_a_node_that_sees_an_edit_late_does_not_undo_a_newer_one(files: tuple[Path, Path]) -> None:
    store = Store()
    early, late = live(files, store), live(files, store)
    await early.start()
    await late.start()
    files[0].write_text(policy(0.6))
    assert await early.reload()
    await early.put(policy(0.7).encode(), expected=None, author="key-1", why=None)
    assert not await late.reload()
    assert late.current.policy.thresholds["high"] == 0.7


async def test_the_same_file_content_back_and_forth_activates_each_time(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    for high in (0.6, 0.5, 0.6):
        files[0].write_text(policy(high))
        assert await ruleset.reload()
        assert ruleset.current.policy.thresholds["high"] == high


async def test_a_put_names_who_and_why(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    before = ruleset.current.policy_digest
    done = (
        await ruleset.put(policy(0.6).encode(), expected=before, author="key-7", why="too many complaints")
    ).activation
    assert (done.seq, done.change.author, done.change.why) == (2, "key-7", "too many complaints")
    assert (store.events[-1].actor, store.events[-1].body["why"]) == ("key-7", "too many complaints")
    assert ruleset.current.policy.thresholds["high"] == 0.6
    assert ruleset.current.lists[0].terms == ("forbidden thing",)


async def test_each_of_two_edits_at_once_hears_what_it_took_the_place_of(files: tuple[Path, Path]) -> None:
    one = live(files, store := Store())
    await one.start()
    other = live(files, store)
    await other.start()
    start = one.current.digest
    await other.put(policy(0.55).encode(), expected=None, author="a", why=None)

    edits = (one.put(policy(high).encode(), expected=None, author="a", why=None) for high in (0.6, 0.7))
    first, second = await asyncio.gather(*edits)
    assert first.before.digest == other.current.digest != start
    assert first.now is second.before
    assert second.now is one.current


async def test_of_two_edits_of_one_version_the_second_is_told_what_the_first_changed(files: tuple[Path, Path]) -> None:
    store = Store()
    one, two = live(files, store), live(files, store)
    await one.start()
    await two.start()
    read = two.current.policy_digest
    await one.put(policy(0.6).encode(), expected=read, author="a", why=None)
    with pytest.raises(PolicyConflict) as conflict:
        await two.put(policy(0.7).encode(), expected=read, author="b", why=None)
    assert conflict.value.current == one.current.policy_digest
    assert conflict.value.diff is not None
    assert "-  high: 0.5\n+  high: 0.6\n" in conflict.value.diff
    assert two.current.policy.thresholds["high"] == 0.6
    await two.put(policy(0.7).encode(), expected=conflict.value.current, author="b", why=None)
    assert two.current.policy.thresholds["high"] == 0.7


async def test_what_no_version_is_named_by_was_not_changed_since(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ruleset = live(files, Store())
    await ruleset.start()
    first = ruleset.current

    async def refused(expected: str) -> PolicyConflict:
        with pytest.raises(PolicyConflict) as conflict:
            await ruleset.put(policy(0.6).encode(), expected=expected, author="a", why=None)
        assert conflict.value.current == ruleset.current.policy_digest
        return conflict.value

    made_up = await refused("sha256:made-up")
    assert "no version of the policy has the digest sha256:made-up" in made_up.detail
    rulesets = await refused(first.digest)
    assert "If-Match names a ruleset" in rulesets.detail
    assert first.policy_digest in rulesets.detail
    assert made_up.diff is rulesets.diff is None

    await ruleset.put(policy(0.7).encode(), expected=None, author="a", why=None)
    assert "changed since you read it" in (await refused(first.policy_digest)).detail
    monkeypatch.setattr(versions, "_VERSIONS_LOOKED_THROUGH", 1)
    older = await refused(first.policy_digest)
    assert "none that you can have read lately" in older.detail
    assert older.diff is not None
    assert "-  high: 0.6\n+  high: 0.7\n" in older.diff, "what was sent is compared instead"


async def test_a_broken_put_changes_nothing(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    with pytest.raises(PolicyInvalid):
        await ruleset.put(b"version: 2", expected=None, author="a", why=None)
    assert ruleset.status.problems == ()
    assert len(store.events) == 1


async def test_a_rollback_restores_policy_and_lists(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    first = ruleset.current
    files[0].write_text(policy(0.6))
    (files[1] / "words.txt").write_text(LIST + "another thing\n")
    await ruleset.reload()
    done = (await ruleset.restore(first.digest, author="a", why="oops")).activation
    assert (done.digest, ruleset.current.lists) == (first.digest, first.lists)
    assert ruleset.current.policy == first.policy
    assert not await ruleset.reload()
    with pytest.raises(NotFound):
        await ruleset.restore("sha256:none", author="a", why=None)


async def test_nodes_follow_each_other(files: tuple[Path, Path]) -> None:
    store = Store()
    one, two = live(files, store), live(files, store, follow_interval_s=0.02)
    await one.start()
    async with watching(two):
        await one.put(policy(0.6).encode(), expected=None, author="a", why=None)
        await until(lambda: two.current.policy.thresholds["high"] == 0.6)
    assert two.status.activation == one.status.activation


async def test_a_version_that_this_node_cannot_use_is_named_and_the_last_good_goes_on(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store)
    await ruleset.start()
    strange = RulesetText("sha256:" + "1" * 64, "sha256:p", "version: 99", ())
    change = store._history[0].change
    await store.activate(strange, change, after_seq=None, events=[])
    assert not await ruleset.follow()
    assert ruleset.status.problems
    assert ruleset.current.policy.thresholds["high"] == 0.5
    with pytest.raises(PolicyConflict):
        await ruleset.put(policy(0.6).encode(), expected=ruleset.current.policy_digest, author="a", why=None)
    await ruleset.put(policy(0.6).encode(), expected=None, author="a", why=None)
    assert ruleset.status.problems == ()


async def test_a_byte_order_mark_is_no_change(files: tuple[Path, Path]) -> None:
    ruleset = live(files, Store())
    files[0].write_bytes(b"\xef\xbb\xbf" + policy(0.5).encode())
    await ruleset.start()
    files[0].write_text(policy(0.5))
    assert not await ruleset.reload()


async def test_beside_a_service_files_put_nothing_in_force(files: tuple[Path, Path]) -> None:
    store = Store()
    await live(files, store).start()
    files[0].write_text(policy(0.6))
    with pytest.raises(PolicyConflict, match=r"the policy in .*p\.yaml is not the one in force"):
        await live(files, store, beside=True).start()
    files[0].write_text(policy(0.5))
    (files[1] / "words.txt").write_text(LIST + "another thing\n")
    with pytest.raises(PolicyConflict, match=r"the lists in .*rules are not those in force"):
        await live(files, store, beside=True).start()
    assert len(store.sources) == 1


async def test_beside_a_service_broken_files_are_named(files: tuple[Path, Path]) -> None:
    store = Store()
    await live(files, store).start()
    (files[1] / "words.txt").write_text("no header\n")
    with pytest.raises(PolicyInvalid, match=r"rules/words.txt:1"):
        await live(files, store, beside=True).start()
    files[0].unlink()
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        await live(files, store, beside=True).start()
    assert len(store.sources) == 1


async def test_beside_a_service_what_it_puts_in_force_is_followed_and_an_edit_is_not(
    files: tuple[Path, Path],
) -> None:
    store = Store()
    service, one = live(files, store), live(files, store, beside=True, poll_interval_s=0.02, follow_interval_s=0.02)
    await service.start()
    async with watching(one):
        files[0].write_text(policy(0.7))
        await asyncio.sleep(0.5)  # many polls, and an event
        assert len(store.sources) == 1
        await service.put(policy(0.6).encode(), expected=None, author="a", why=None)
        await until(lambda: one.current.policy.thresholds["high"] == 0.6)


async def test_beside_no_service_the_files_begin(files: tuple[Path, Path]) -> None:
    store = Store()
    ruleset = live(files, store, beside=True)
    await ruleset.start()
    assert store.sources == [(ruleset.current.digest, "start")]


async def test_a_service_that_begins_meanwhile_is_not_overruled(files: tuple[Path, Path]) -> None:
    class Raced(Store):
        """Somebody else is faster, just before this one records."""

        async def activate(
            self, ruleset: RulesetText, change: Change, *, after_seq: int | None, events: Sequence[AuditEvent]
        ) -> Activation | None:
            faster = RulesetText("sha256:" + "1" * 64, "sha256:p", "version: 99", ())
            await super().activate(faster, change, after_seq=None, events=())
            return await super().activate(ruleset, change, after_seq=after_seq, events=events)

    store = Raced()
    with pytest.raises(PolicyConflict):
        await live(files, store, beside=True).start()
    assert store.sources == []
