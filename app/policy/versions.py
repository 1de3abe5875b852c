"""Versions of a policy as the store keeps them: recorded, built again, and compared with what somebody edited."""

import asyncio

from app.domain import Activation, AuditEvent, Change, RulesetText, new_id
from app.errors import PolicyConflict, PolicyInvalid, PolicyProblem
from app.policy.candidate import Candidate
from app.policy.diff import policy_diff
from app.policy.load import build_candidate
from app.policy.ports import RulesetStore
from app.policy.ruleset import Ruleset

#: Of an edit that began with an older version than these, what it began with is not looked for: it is compared itself.
_VERSIONS_LOOKED_THROUGH = 200

#: Of a digest that somebody made up.
_SHOWN_CHARACTERS = 80


def rebuild(text: RulesetText) -> Ruleset:
    """A stored ruleset, compiled again. Raises PolicyInvalid when this version of Portcullis does not take it, or when
    it is not what its digest names."""
    return as_named(build_candidate(kept_candidate(text)), text)


def kept_candidate(text: RulesetText) -> Candidate:
    return Candidate(text.policy.encode(), text.lists, file=version_name(text.digest), kept=True)


def as_named(ruleset: Ruleset, text: RulesetText) -> Ruleset:
    """Raises PolicyInvalid when the ruleset of a text is not what the text is named by."""
    if ruleset.digest != text.digest:
        what = "the stored version is not what its digest names"
        raise PolicyInvalid((PolicyProblem(version_name(text.digest), 1, 1, what),))
    return ruleset


def version_name(digest: str) -> str:
    return f"version {digest.removeprefix('sha256:')[:12]}"


async def record(
    store: RulesetStore, ruleset: Ruleset, change: Change, *, after_seq: int | None = None
) -> Activation | None:
    """As `RulesetStore.activate`, with what the audit log says of it."""
    text = RulesetText(ruleset.digest, ruleset.policy_digest, ruleset.source, ruleset.lists)
    event = AuditEvent(
        id=new_id("evt"),
        kind="policy.activated",
        at=change.at,
        actor=change.author,
        subject=ruleset.digest,
        body={
            "source": change.source.value,
            "policy": ruleset.policy_digest,
            "why": change.why,
            "forced": change.forced,
        },
    )
    return await store.activate(text, change, after_seq=after_seq, events=[event])


async def require_unchanged(store: RulesetStore, head: Activation | None, expected: str | None, mine: bytes) -> None:
    """Raises PolicyConflict, with what changed, unless the policy of `head` is the expected one, or any is. What no
    version is named by was not changed since: then it says so, and no more."""
    if expected is None or head is None or expected == head.policy_digest:
        return
    versions = await store.versions(limit=_VERSIONS_LOOKED_THROUGH)
    base = next((one for one in versions if one.policy_digest == expected), None)
    if base is None and any(one.digest == expected for one in versions):
        detail = "If-Match names a ruleset, which is policy and lists together: the policy's own digest is meant"
        raise PolicyConflict(f"{detail}, {head.policy_digest} of the one in force", current=head.policy_digest)
    if base is None and len(versions) < _VERSIONS_LOOKED_THROUGH:
        detail = f"no version of the policy has the digest {expected[:_SHOWN_CHARACTERS]}"
        raise PolicyConflict(f"{detail}: the one in force has {head.policy_digest}", current=head.policy_digest)
    before = mine.decode("utf-8", "replace") if base is None else (await store.find(base.digest)).policy
    current = (await store.find(head.digest)).policy
    raise PolicyConflict(
        "the policy was changed since you read it: see `diff`, and edit the version in force"
        if base is not None
        else "the policy in force is none that you can have read lately: see `diff`, and edit the version in force",
        current=head.policy_digest,
        diff=await asyncio.to_thread(
            policy_diff, before, current, before="yours" if base is None else "read", after="in force"
        ),
    )
