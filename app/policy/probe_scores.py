"""From a probe's raw readings to the one number that the policy sees."""

from collections.abc import Collection, Mapping, Sequence
from math import exp
from typing import NamedTuple, TypeAlias

from app.domain import NO_TEXT, Findings, ProbeReading, ProbeScore, Status, Subject, has_text
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
_OK = Status.OK
_PICTURE_ALONE = (Subject.PICTURE,)


class Scored(NamedTuple):
    """A probe's score as `ProbeScore` has it, for many decisions at once, of which none is published."""

    status: Status
    reason: str | None = None
    p: float | None = None
    mass: float | None = None
    lower_bound: bool = False
    calibrated: bool = False

    @property
    def absent(self) -> bool:
        """There is nothing that it could be asked of, and that is known."""
        return self.status is Status.SKIPPED and self.reason == NO_TEXT

    def published(self) -> ProbeScore:
        return ProbeScore.unchecked(self._asdict())


#: Of a reading that is sound: p and mass.
_Answer: TypeAlias = tuple[float, float]


class _Missing(NamedTuple):
    status: Status
    reason: str | None = None


class ProbeScorer:
    """Scores some probes of a policy, upload after upload: each by all readings of its frames, or of the parts of the
    text, in every language. One that is not there counts as missing."""

    def __init__(self, probes: Mapping[str, Probe], *, languages: Collection[str], min_mass: float) -> None:
        self._probes = [
            (name, one.applies_to, one.applies_to == _PICTURE_ALONE, one.calibration) for name, one in probes.items()
        ]
        self._languages = languages
        self._min_mass = min_mass

    def scores(self, findings: Findings, *, model_digest: str | None, caption: str | None = None) -> dict[str, Scored]:
        """`model_digest` is the model that answered: a calibration holds only for the one it was fitted on. `caption`
        is what the upload's context has, where the findings have none."""
        places = looked_at(findings, caption)
        found, frames = findings.probes, places[Subject.PICTURE]
        frame, language = (*frames, *self._languages) if len(frames) == len(self._languages) == 1 else (None, None)
        scored = {}
        for name, subjects, of_picture, fitted in self._probes:
            finding = found.get(name)
            readings: Sequence[ProbeReading] = () if finding is None else finding.readings
            calibration = fitted if fitted is not None and fitted.model == model_digest else None
            if of_picture and len(readings) == 1:  # by far the most common
                (only,) = readings
                if only.text_part is None and only.frame == frame and only.language == language:
                    answer = _judge(only, calibration, self._min_mass)
                    if not isinstance(answer, _Missing):
                        p, mass = answer
                        scored[name] = Scored(_OK, None, p, mass, False, calibration is not None)
                        continue
            scored[name] = self._best(readings, subjects, places, calibration)
        return scored

    def _best(
        self,
        readings: Sequence[ProbeReading],
        subjects: Collection[Subject],
        places: Mapping[Subject, set[int]],
        calibration: Calibration | None,
    ) -> Scored:
        if not any(places[subject] for subject in subjects):
            return Scored(Status.SKIPPED, NO_TEXT)
        if not readings:
            return Scored(Status.SKIPPED, NOT_ASKED)
        own = [reading for reading in readings if place_of(reading)[0] in subjects]
        answers = [_judge(reading, calibration, self._min_mass) for reading in own]
        asked = {(place_of(reading), reading.language) for reading in own}
        absent = sum(
            ((subject, at), language) not in asked
            for subject in subjects
            for at in places[subject]
            for language in self._languages
        )
        answers += [_Missing(Status.SKIPPED, NOT_ASKED)] * absent
        good = [answer for answer in answers if not isinstance(answer, _Missing)]
        bad = [answer for answer in answers if isinstance(answer, _Missing)]
        if not good:
            gravest = _gravest(bad)
            return Scored(gravest.status, gravest.reason, calibrated=calibration is not None)
        return Scored(
            status=Status.OK,
            reason=_partial(_gravest(bad), len(bad), len(answers)) if bad else None,
            p=max(p for p, _ in good),
            mass=min(mass for _, mass in good),
            lower_bound=bool(bad),
            calibrated=calibration is not None,
        )


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


def _judge(reading: ProbeReading, calibration: Calibration | None, min_mass: float) -> _Answer | _Missing:
    if reading.status is not _OK:
        return _Missing(reading.status, reading.reason)
    log_yes, log_no = reading.log_yes, reading.log_no
    if log_yes is None or log_no is None:
        return _Missing(Status.FAILED, "no probabilities")
    mass = exp(log_yes if log_yes < _MAX_EXPONENT else _MAX_EXPONENT)
    mass += exp(log_no if log_no < _MAX_EXPONENT else _MAX_EXPONENT)
    if not mass <= 1 + _MASS_SLACK:
        return _Missing(Status.FAILED, "not a probability")
    if mass < min_mass:
        return _Missing(Status.FAILED, UNCLEAR)
    slope, intercept = (1.0, 0.0) if calibration is None else (calibration.slope, calibration.intercept)
    p = _sigmoid(slope * (log_yes - log_no) + intercept)
    if not 0 <= p <= 1:
        return _Missing(Status.FAILED, "not a probability")
    return p, mass if mass < 1 else 1.0


def _gravest(bad: Collection[_Missing]) -> _Missing:
    return next((one for status in _GRAVEST for one in bad if one.status is status), _Missing(Status.FAILED))


def _partial(bad: _Missing, missing: int, total: int) -> str:
    return f"{missing} of {total} readings missing: {bad.reason or bad.status.value}"


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + exp(-x))
    risen = exp(x)
    return risen / (1 + risen)
