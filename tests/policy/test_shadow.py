"""The shadow policy's doors: the API, the file, other nodes; and what must never come of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from app.domain import ActivationSource, AuditEvent, Change, ShadowText
from app.errors import NotFound, PolicyConflict, PolicyInvalid, PolicyTestsFailed, StoreUnavailable
from app.policy.live import LiveRuleset
from app.policy.memory import MemoryRulesets
from app.policy.shadow import ShadowPolicy, shadow_path
from app.policy.shadow_memory import MemoryShadow
from tests.policy.build import document, rule

LIST = "---\ncategory: goods\nseverity: high\nlanguages: en\n---\nforbidden thing\n"
CASES = "cases:\n  - {name: strong, given: {probes.a.p: 0.95}, expect: reject}\n"


class Store(MemoryShadow):
    """Fails on demand."""

    fault: Exception | None = None

    async def head(self) -> ShadowText | None:
        if self.fault is not None:
            raise self.fault
        return await super().head()

    async def change(
        self,
        policy_digest: str | None,
        policy: str | None,
        change: Change,
        *,
        events: Sequence[AuditEvent],
        after_seq: int | None = None,
    ) -> ShadowText | None:
        if self.fault is not None:
            raise self.fault
        return await super().change(policy_digest, policy, change, events=events, after_seq=after_seq)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event.kind, str(event.body["source"])) for event in self.events]


def policy(high: float, *, count: bool = False) -> str:
    rules = [rule("r1", "probes.a.p > thresholds.high")] + [rule("r2", "keywords.words.count > 0")] * count
    return yaml.safe_dump(document(rules, thresholds={"high": high}), sort_keys=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "words.txt").write_text(LIST)
    (tmp_path / "p.yaml").write_text(policy(0.5))
    return tmp_path / "p.yaml"


async def node(path: Path, store: MemoryShadow, rulesets: MemoryRulesets | None = None) -> ShadowPolicy:
    live = LiveRuleset(path, path.parent / "rules", store=rulesets or MemoryRulesets())
    await live.start()
    shadow = ShadowPolicy(shadow_path(path), live, store=store)
    await shadow.start()
    return shadow


def high(shadow: ShadowPolicy) -> float | None:
    return shadow.current.policy.thresholds["high"] if shadow.current else None


async def test_there_is_none_at_first(path: Path) -> None:
    shadow = await node(path, Store())
    assert (shadow.current, shadow.status.entry) == (None, None)
    with pytest.raises(NotFound):
        await shadow.remove(author="key", why=None)
    with pytest.raises(NotFound):
        await shadow.promote(expected=None, shadow=None, author="key", why=None)


async def test_what_is_put_is_tried_on_every_node_and_audited(path: Path) -> None:
    store = Store()
    one, two = await node(path, store), await node(path, store)
    entry = await one.put(policy(0.7).encode(), author="key-1", why="softer")
    assert (entry.seq, entry.change.author, entry.change.why) == (1, "key-1", "softer")
    assert await two.follow()
    assert not await two.follow()
    assert high(one) == high(two) == 0.7
    await two.remove(author="key-2", why=None)
    await one.follow()
    assert one.current is two.current is None
    assert store.told == [("policy.shadow_set", "api"), ("policy.shadow_removed", "api")]


async def test_what_is_tried_is_said_and_that_nothing_is_tried_is_no_news(path: Path) -> None:
    with capture_logs() as logs:
        shadow = await node(path, Store())
        (path.parent / "rules" / "words.txt").write_text(LIST + "another\n")
        await shadow._live.reload()
        await shadow.follow()
    assert [one for one in logs if one["action"].startswith("shadow")] == []
    with capture_logs() as logs:
        entry = await shadow.put(policy(0.7).encode(), author="key", why=None)
        await shadow.remove(author="key", why=None)
    told = [(one["event"], one["policy"]) for one in logs if one["action"] == "shadow_followed"]
    assert told == [("another policy is tried", entry.policy_digest), ("no policy is tried any more", None)]


async def test_a_broken_policy_is_not_tried(path: Path) -> None:
    shadow = await node(path, Store())
    await shadow.put(policy(0.7).encode(), author="key", why=None)
    with pytest.raises(PolicyInvalid):
        await shadow.put(policy(7).encode().replace(b"reject", b"rejct"), author="key", why=None)
    assert high(shadow) == 0.7


async def test_it_goes_with_the_lists_of_the_moment(path: Path) -> None:
    shadow = await node(path, Store())
    await shadow.put(policy(0.7, count=True).encode(), author="key", why=None)
    live = shadow._live
    (path.parent / "rules" / "words.txt").write_text(LIST + "another\n")
    assert await live.reload()
    assert await shadow.follow()
    assert shadow.current is not None
    assert shadow.current.lists == live.current.lists
    (path.parent / "rules" / "words.txt").unlink()
    assert await live.reload()
    assert await shadow.follow()
    assert high(shadow) is None
    assert "words" in shadow.status.problems[0].message
    assert shadow.status.entry is not None
    (path.parent / "rules" / "words.txt").write_text(LIST)
    await live.reload()
    assert await shadow.follow()
    assert high(shadow) == 0.7


async def test_the_file_is_a_door_too(path: Path) -> None:
    store, file = Store(), shadow_path(path)
    assert file.name == "p.shadow.yaml"
    shadow = await node(path, store)
    file.write_text(policy(0.6))
    assert await shadow.reload()
    await shadow.follow()
    assert high(shadow) == 0.6
    assert not await shadow.reload()
    file.write_text("rules: [oops")
    assert not await shadow.reload()
    assert shadow.status.file_problems
    assert high(shadow) == 0.6
    file.unlink()
    assert await shadow.reload()
    assert shadow.current is None
    assert shadow.status.file_problems == ()
    assert store.told == [("policy.shadow_set", "file"), ("policy.shadow_removed", "file")]


async def test_the_file_may_include_others(path: Path) -> None:
    shadow = await node(path, Store())
    whole = yaml.safe_load(policy(0.6))
    (path.parent / "numbers.yaml").write_text(yaml.safe_dump({"thresholds": whole.pop("thresholds")}))
    shadow_path(path).write_text(yaml.safe_dump(whole | {"include": ["numbers.yaml"]}))
    assert await shadow.reload()
    await shadow.follow()
    assert high(shadow) == 0.6
    assert not shadow.status.problems


async def test_a_restart_with_the_same_file_undoes_nothing(path: Path) -> None:
    store = Store()
    shadow_path(path).write_text(policy(0.6))
    assert high(await node(path, store)) == 0.6
    again = await node(path, store)
    await again.put(policy(0.7).encode(), author="key", why=None)
    assert high(await node(path, store)) == 0.7
    await again.remove(author="key", why=None)
    assert (await node(path, store)).current is None
    assert store.told[0] == ("policy.shadow_set", "start")


async def test_taking_the_file_away_leaves_what_came_through_the_api(path: Path) -> None:
    shadow_path(path).write_text(policy(0.6))
    shadow = await node(path, Store())
    await shadow.put(policy(0.7).encode(), author="key", why=None)
    shadow_path(path).unlink()
    assert not await shadow.reload()
    assert high(shadow) == 0.7


async def test_a_folder_in_the_place_of_the_file_is_said_and_harms_nothing(path: Path) -> None:
    shadow_path(path).mkdir()
    shadow = await node(path, Store())
    assert "cannot be read" in shadow.status.file_problems[0].message
    await shadow.put(policy(0.7).encode(), author="key", why=None)
    assert not await shadow.reload()
    assert high(shadow) == 0.7


async def test_a_store_that_is_away_stops_no_start_and_is_asked_again(path: Path) -> None:
    store = Store()
    store.fault = StoreUnavailable("gone")
    shadow_path(path).write_text(policy(0.6))
    shadow = await node(path, store)
    assert shadow.current is None
    with pytest.raises(StoreUnavailable):
        await shadow.reload()
    store.fault = None
    assert await shadow.reload()
    assert await shadow.follow()
    assert high(shadow) == 0.6


async def test_promoting_makes_it_live_and_ends_the_trial(path: Path) -> None:
    store, rulesets = Store(), MemoryRulesets()
    shadow = await node(path, store, rulesets)
    live = shadow._live
    first = live.current.policy_digest
    entry = await shadow.put(policy(0.7).encode(), author="key-1", why=None)
    activation = (
        await shadow.promote(expected=first, shadow=entry.policy_digest, author="key-2", why="it held for a week")
    ).activation
    assert (activation.change.author, activation.change.why) == ("key-2", "it held for a week")
    assert activation.change.source is ActivationSource.API
    assert live.current.policy.thresholds["high"] == 0.7
    assert high(shadow) is None
    assert shadow.status.entry is None


async def test_promoting_keeps_to_the_rules_of_a_put(path: Path) -> None:
    path.with_name("p.test.yaml").write_text(CASES)
    shadow = await node(path, Store())
    live = shadow._live
    await shadow.put(policy(0.99).encode(), author="key", why=None)
    with pytest.raises(PolicyConflict, match="no version of the policy has the digest sha256:other"):
        await shadow.promote(expected="sha256:other", shadow=None, author="key", why=None)
    with pytest.raises(PolicyConflict, match="another policy is tried"):
        await shadow.promote(expected=None, shadow="sha256:other", author="key", why=None)
    with pytest.raises(PolicyTestsFailed):
        await shadow.promote(expected=None, shadow=None, author="key", why=None)
    assert live.current.policy.thresholds["high"] == 0.5
    assert high(shadow) == 0.99
    forced = (await shadow.promote(expected=None, shadow=None, author="key", why=None, force=True)).activation
    assert forced.change.forced


async def test_a_policy_that_is_live_stays_so_when_its_trial_cannot_be_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    shadow = await node(path, store)
    await shadow.put(policy(0.7).encode(), author="key", why=None)

    async def gone(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(store, "change", gone)
    await shadow.promote(expected=None, shadow=None, author="key", why=None)
    assert shadow._live.current.policy.thresholds["high"] == 0.7
    assert high(shadow) == 0.7


async def test_beside_a_service_the_file_is_no_door(path: Path) -> None:
    shadow_path(path).write_text(policy(0.6))
    store, rulesets = Store(), MemoryRulesets()
    live = LiveRuleset(path, path.parent / "rules", store=rulesets)
    await live.start()
    shadow = ShadowPolicy(shadow_path(path), live, store=store, beside=True)
    await shadow.start()
    assert not await shadow.reload()
    assert (store.told, shadow.current) == ([], None)
