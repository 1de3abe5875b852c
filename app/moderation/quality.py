"""Decisions that stand and are looked at by a person all the same, to know how often they are right."""

from collections.abc import Iterator

from app.domain import Evaluation, Mode, Outcome
from app.moderation.early_stop import is_sampled
from app.policy.schema import Policy


def sampled_by(decision_id: str, evaluation: Evaluation, policy: Policy) -> tuple[str, ...]:
    """What has this decision looked at: `rules.<id>` of rules that had a say in it, `defaults.quality_sample` of any
    pass. None of a degraded decision, which says nothing about the rules, and none of one that goes to a person
    anyway."""
    if evaluation.degraded or evaluation.outcome is Outcome.REVIEW:
        return ()
    return tuple(name for name, share in _shares(evaluation, policy) if is_sampled(decision_id, share))


def _shares(evaluation: Evaluation, policy: Policy) -> Iterator[tuple[str, float]]:
    had_a_say = {one.overridden_by for one in evaluation.rules if one.mode is Mode.LIVE}
    had_a_say |= {one.rule for one in evaluation.violations}
    for rule in policy.rules:
        if rule.sample is not None and rule.id in had_a_say:
            yield f"rules.{rule.id}", rule.sample
    if evaluation.outcome is Outcome.PASS and policy.defaults.quality_sample is not None:
        yield "defaults.quality_sample", policy.defaults.quality_sample
