"""What was never asked of a picture: a probe that is newer than the decision, a reader that was off, a question that an
early stop spared. A fault is something else: it was asked, and there is no answer."""

from app.domain import Findings, ProbeFinding, Status
from app.policy.evaluate import Seen
from app.policy.ruleset import Ruleset
from app.policy.scores import probe_of


def never_asked(ruleset: Ruleset, findings: Findings, seen: Seen) -> frozenset[str]:
    """The names whose value is not known, or not whole, because something was not asked."""
    blame = seen.facts.blame
    if not blame:
        return frozenset()
    languages = ruleset.policy.defaults.ask
    frames = {reading.frame for finding in findings.probes.values() for reading in finding.readings}
    frames |= set(range(findings.image.frames_sampled))
    expected = {(frame, language) for frame in frames for language in languages}
    probes = {
        name
        for name, score in seen.probes.items()
        if (score.p is None or score.lower_bound) and not _was_asked(findings.probes.get(name), expected)
    }
    scores = {
        f"scores.{name}"
        for name, score in ruleset.policy.scores.items()
        if any(probe_of(part) in probes for part in score.parts)
    }
    skipped = {
        name
        for name, lines in blame.items()
        if not name.startswith(("probes.", "scores.")) and any(": skipped" in line for line in lines)
    }
    names = {f"probes.{name}.{part}" for name in probes for part in ("p", "mass")}
    return frozenset((names | scores | skipped) & blame.keys())


def _was_asked(finding: ProbeFinding | None, expected: set[tuple[int, str]]) -> bool:
    if finding is None:
        return False
    asked = {(one.frame, one.language) for one in finding.readings if one.status is not Status.SKIPPED}
    return expected <= asked
