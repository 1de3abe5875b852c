"""What was never asked of a picture: a probe that is newer than the decision, a reader that was off, a question that an
early stop spared. A fault is something else: it was asked, and there is no answer."""

from collections.abc import Collection

from app.domain import Findings, ProbeFinding, Status, Subject
from app.policy.evaluate import Seen
from app.policy.probe_scores import looked_at, place_of
from app.policy.ruleset import Ruleset


def never_asked(ruleset: Ruleset, findings: Findings, seen: Seen) -> frozenset[str]:
    """The names whose value is not known, or not whole, because something was not asked."""
    blame = seen.facts.blame
    if not blame:
        return frozenset()
    policy, places = ruleset.policy, looked_at(findings)
    expected = {
        subject: {((subject, at), language) for at in at_all for language in policy.defaults.ask}
        for subject, at_all in places.items()
    }
    probes = {
        name
        for name, score in seen.probes.items()
        if (score.p is None or score.lower_bound)
        and not score.absent
        and not _was_asked(findings.probes.get(name), [expected[one] for one in policy.probes[name].applies_to])
    }
    skipped = {
        name
        for name, lines in blame.items()
        if not name.startswith(("probes.", "scores.")) and any(": skipped" in line for line in lines)
    }
    unasked = skipped | {f"probes.{name}.{part}" for name in probes for part in ("p", "mass")}
    scores = {f"scores.{name}" for name, score in policy.scores.items() if not unasked.isdisjoint(score.parts)}
    return frozenset((unasked | scores) & blame.keys())


def _was_asked(finding: ProbeFinding | None, expected: Collection[set[tuple[tuple[Subject, int], str]]]) -> bool:
    if finding is None:
        return False
    asked = {(place_of(one), one.language) for one in finding.readings if one.status is not Status.SKIPPED}
    return all(places <= asked for places in expected)
