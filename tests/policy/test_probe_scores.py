import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Findings, ProbeFinding, ProbeReading, ProbeScore, Status
from app.policy.facts import Facts
from app.policy.probe_scores import ProbeScorer
from app.policy.schema import Calibration, Probe, Score
from app.policy.scores import score_category
from tests.policy.build import findings, reading

MODEL = "sha256:" + "a" * 64
PROBE = Probe(category="goods", questions={"en": "a?", "zh": "a？"})
CALIBRATED = PROBE.model_copy(update={"calibration": Calibration(model=MODEL, slope=2.0, intercept=-1.0)})


def score(
    *readings: ProbeReading,
    probe: Probe = PROBE,
    languages: tuple[str, ...] = ("en",),
    model: str | None = None,
    frames_sampled: int = 1,
) -> ProbeScore:
    found: Findings = findings(frames=frames_sampled, frames_sampled=frames_sampled).model_copy(
        update={"probes": {"a": ProbeFinding(readings=readings)} if readings else {}}
    )
    scorer = ProbeScorer({"a": probe}, languages=languages, min_mass=0.5)
    return scorer.scores(found, model_digest=model)["a"].published()


def test_p_is_yes_among_yes_and_no() -> None:
    scored = score(reading(0.8, mass=0.9))
    assert scored.p == pytest.approx(0.8)
    assert scored.mass == pytest.approx(0.9)
    assert (scored.status, scored.lower_bound, scored.calibrated) == (Status.OK, False, False)


def test_the_highest_frame_and_language_counts() -> None:
    readings = [
        reading(p, frame=frame, language=language)
        for (frame, language), p in {(0, "en"): 0.1, (0, "zh"): 0.2, (1, "en"): 0.7, (1, "zh"): 0.3}.items()
    ]
    assert score(*readings, languages=("en", "zh"), frames_sampled=2).p == pytest.approx(0.7)


def test_little_mass_is_no_answer() -> None:
    scored = score(reading(0.99, mass=0.4))
    assert (scored.status, scored.reason, scored.p) == (Status.FAILED, "unclear", None)


def test_one_unclear_frame_makes_the_rest_a_lower_bound() -> None:
    scored = score(reading(0.2), reading(0.9, mass=0.1, frame=1), frames_sampled=2)
    assert (scored.status, scored.lower_bound, scored.p) == (Status.OK, True, pytest.approx(0.2))
    assert scored.reason == "1 of 2 readings missing: unclear"


def test_a_frame_or_language_without_a_reading_is_missing() -> None:
    assert score(reading(0.2), frames_sampled=2).lower_bound
    assert score(reading(0.2), languages=("en", "zh")).lower_bound
    assert not score(reading(0.2), reading(0.2, language="zh"), languages=("en", "zh")).lower_bound


def test_a_reading_that_says_ok_without_numbers_failed() -> None:
    scored = score(ProbeReading(frame=0, language="en", status=Status.OK))
    assert (scored.status, scored.p) == (Status.FAILED, None)


def test_what_is_more_than_certain_is_no_probability() -> None:
    scored = score(ProbeReading(frame=0, language="en", status=Status.OK, log_yes=0.5, log_no=-9.0))
    assert (scored.status, scored.reason) == (Status.FAILED, "not a probability")


def test_without_any_reading_the_gravest_status_names_the_probe() -> None:
    assert score().status is Status.SKIPPED
    assert score(reading(None)).status is Status.TIMEOUT
    assert score(reading(None), reading(None, frame=1, status=Status.FAILED)).status is Status.FAILED


def test_a_calibration_holds_for_its_model_alone() -> None:
    raw = math.log(0.8 / 0.2)
    fitted = score(reading(0.8), probe=CALIBRATED, model=MODEL)
    assert fitted.calibrated
    assert fitted.p == pytest.approx(1 / (1 + math.exp(-(2 * raw - 1))))
    other = score(reading(0.8), probe=CALIBRATED, model="sha256:" + "b" * 64)
    assert not other.calibrated
    assert other.p == pytest.approx(0.8)


@given(st.floats(-1e300, 0), st.floats(-1e300, 0))
def test_any_logarithms_give_a_probability_or_nothing(log_yes: float, log_no: float) -> None:
    scored = score(ProbeReading(frame=0, language="en", status=Status.OK, log_yes=log_yes, log_no=log_no))
    assert scored.p is None or 0 <= scored.p <= 1


def parts(*values: float | None) -> Facts:
    facts = Facts()
    for at, value in enumerate(values):
        facts.add(f"probes.p{at}.p", value, lower_bound=False, blame=["failed"])
    return facts


FORMS = {
    "max": Score(max=("probes.p0.p", "probes.p1.p")),
    "noisy_or": Score(noisy_or=("probes.p0.p", "probes.p1.p")),
    "weighted": Score(weighted={"probes.p0.p": 3.0, "probes.p1.p": 1.0}),
}


@pytest.mark.parametrize(("form", "value"), [("max", 0.5), ("noisy_or", 0.6), ("weighted", 0.425)])
def test_ways_to_score(form: str, value: float) -> None:
    assert score_category(FORMS[form], parts(0.5, 0.2)).value == pytest.approx(value)


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_part_leaves_a_lower_bound(form: str) -> None:
    some = score_category(FORMS[form], parts(0.5, None))
    assert some.lower_bound
    assert some.value is not None
    none = score_category(FORMS[form], parts(None, None))
    assert (none.value, none.lower_bound) == (None, False)


@given(st.sampled_from(sorted(FORMS)), st.lists(st.floats(0, 1), min_size=2, max_size=2), st.sampled_from([0, 1]))
def test_a_lower_bound_is_below_every_score_it_stands_for(form: str, values: list[float], missing: int) -> None:
    full = score_category(FORMS[form], parts(*values)).value
    known: list[float | None] = [*values]
    known[missing] = None
    bound = score_category(FORMS[form], parts(*known)).value
    assert full is not None
    assert bound is not None
    assert 0 <= bound <= full <= 1
