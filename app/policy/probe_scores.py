"""From a probe's raw readings to the one number that the policy sees."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import exp
from typing import NamedTuple

from app.domain import NO_TEXT, Findings, ProbeFinding, ProbeReading, ProbeScore, Status, Subject, has_text
from app.policy.schema import Calibration, Probe

#: `failed` with this reason: the model was asked and said neither yes nor no.
UNCLEAR = "unclear"
NOT_ASKED = "not asked"

#: exp(x) is 1 to the last digit's neighbour beyond this; keeps exp from overflowing.
_MAX_EXPONENT = 700.0
#: Two rounded exponentials may add up to slightly more than the whole.
_MASS_SLACK = 1e-3

#: Which status names a probe without any good reading: a fault says more than a late or an omitted answer.
_GRAVEST = (Status.FAILED, Status.TIMEOUT, Status.SKIPPED)
_PICTURE_ALONE = (Subject.PICTURE,)


class _Read(NamedTuple):
    """One reading, judged: `p` and `mass` are there exactly when it is ok."""

    status: Status
    reason: str | None = None
    p: float | None = None
    mass: float | None = None


def score_probes(
    probes: dict[str, Probe],
    findings: Findings,
    *,
    languages: Collection[str],
    min_mass: float,
    model_digest: str | None,
    caption: str | None = None,
) -> dict[str, ProbeScore]:
    """The score of each probe. Each is expected to have a reading for every looked-at frame, or for every part of the
    text, in every language: one that is not there counts as missing. `caption` is what the upload's context has, where
    the findings have none."""
    places = looked_at(findings, caption)
    frames = places[Subject.PICTURE]
    only = (*frames, *languages) if len(frames) == len(languages) == 1 else None
    scorer = _Scorer(places, languages, only, min_mass, model_digest)
    return {name: scorer.score(probe, findings.probes.get(name)) for name, probe in probes.items()}


def looked_at(findings: Findings, caption: str | None = None) -> dict[Subject, set[int]]:
    """The frames that were looked at, and the parts of the text: none where there is no text."""
    frames, parts = set(range(findings.image.frames_sampled)), set[int]()
    for finding in findings.probes.values():
        for reading in finding.readings:
            if reading.text_part is None:
                frames.add(reading.frame)
            else:
                parts.add(reading.text_part)
    if has_text(findings.caption or caption):
        parts.add(0)
    return {Subject.PICTURE: frames, Subject.TEXT: parts}


def place_of(reading: ProbeReading) -> tuple[Subject, int]:
    """What a reading is of."""
    return (Subject.PICTURE, reading.frame) if reading.text_part is None else (Subject.TEXT, reading.text_part)


@dataclass(frozen=True, slots=True)
class _Scorer:
    """`only` is the frame and the language, where there is one of each."""

    places: Mapping[Subject, set[int]]
    languages: Collection[str]
    only: tuple[object, ...] | None
    min_mass: float
    model_digest: str | None

    def score(self, probe: Probe, finding: ProbeFinding | None) -> ProbeScore:
        if not any(self.places[subject] for subject in probe.applies_to):
            return ProbeScore(status=Status.SKIPPED, reason=NO_TEXT)
        if finding is None or not finding.readings:
            return ProbeScore(status=Status.SKIPPED, reason=NOT_ASKED)
        fitted = probe.calibration
        calibration = fitted if fitted and fitted.model == self.model_digest else None
        first = finding.readings[0]
        if (
            len(finding.readings) == 1
            and self.only == (first.frame, first.language)
            and first.text_part is None
            and probe.applies_to == _PICTURE_ALONE
        ):  # by far the most common
            only = _judge(first, calibration, self.min_mass)
            if only.p is not None:
                return _score(only.p, only.mass, calibrated=calibration is not None)
        readings = [reading for reading in finding.readings if place_of(reading)[0] in probe.applies_to]
        reads = [_judge(reading, calibration, self.min_mass) for reading in readings]
        asked = {(place_of(reading), reading.language) for reading in readings}
        absent = sum(
            ((subject, at), language) not in asked
            for subject in probe.applies_to
            for at in self.places[subject]
            for language in self.languages
        )
        return _best(reads + [_Read(Status.SKIPPED, NOT_ASKED)] * absent, calibrated=calibration is not None)


def _score(p: float, mass: float | None, *, calibrated: bool) -> ProbeScore:
    """Of a probe that was answered in full; `_judge` let only probabilities through."""
    return ProbeScore.unchecked(
        {"status": Status.OK, "reason": None, "p": p, "mass": mass, "lower_bound": False, "calibrated": calibrated}
    )


def _best(reads: list[_Read], *, calibrated: bool) -> ProbeScore:
    good = [read for read in reads if read.p is not None]
    bad = _gravest(reads)
    if not good:
        return ProbeScore(status=bad.status, reason=bad.reason, calibrated=calibrated)
    return ProbeScore(
        status=Status.OK,
        reason=None if len(good) == len(reads) else _partial(bad, len(reads) - len(good), len(reads)),
        p=max(read.p for read in good if read.p is not None),
        mass=min(read.mass for read in good if read.mass is not None),
        lower_bound=len(good) < len(reads),
        calibrated=calibrated,
    )


def _judge(reading: ProbeReading, calibration: Calibration | None, min_mass: float) -> _Read:
    if reading.status is not Status.OK:
        return _Read(reading.status, reading.reason)
    if reading.log_yes is None or reading.log_no is None:
        return _Read(Status.FAILED, "no probabilities")
    log_yes, log_no = reading.log_yes, reading.log_no
    mass = _exp(log_yes) + _exp(log_no)
    if not mass <= 1 + _MASS_SLACK:
        return _Read(Status.FAILED, "not a probability")
    if mass < min_mass:
        return _Read(Status.FAILED, UNCLEAR)
    slope, intercept = (calibration.slope, calibration.intercept) if calibration else (1.0, 0.0)
    p = _sigmoid(slope * (log_yes - log_no) + intercept)
    if not 0 <= p <= 1:
        return _Read(Status.FAILED, "not a probability")
    return _Read(Status.OK, None, p, mass if mass < 1 else 1.0)


def _gravest(reads: Iterable[_Read]) -> _Read:
    bad = [read for read in reads if read.p is None]
    return next((read for status in _GRAVEST for read in bad if read.status is status), _Read(Status.FAILED))


def _partial(bad: _Read, missing: int, total: int) -> str:
    return f"{missing} of {total} readings missing: {bad.reason or bad.status.value}"


def _exp(x: float) -> float:
    return exp(x if x < _MAX_EXPONENT else _MAX_EXPONENT)


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + exp(-x))
    risen = exp(x)
    return risen / (1 + risen)
