"""The answers mean something: sixty fresh pictures of pictograms, through the service's engine."""

import numpy as np
import pytest
from PIL import Image
from training.evaluate import Scores, score
from training.questions import READ, policy_questions, unseen_questions
from training.render import Mix, Renderer, draw_size
from training.service import Service

from tests.demo_model.conftest import ROOT

_PICTURES = 60
_PROBES = [prompt for _, _, prompt in policy_questions()]


@pytest.fixture(scope="module")
def scores(service: Service, renderer: Renderer) -> Scores:
    rng = np.random.default_rng(4_711)
    drawn = [renderer.draw(rng, draw_size(rng), Mix(photo=0, writing=0, decoys=0)) for _ in range(_PICTURES)]
    return score(service, drawn, policy_questions(), "renders")


def test_the_probes_of_the_policy_tell_categories_apart(scores: Scores) -> None:
    figures = scores.by_probe()
    assert np.mean([f.auroc for f in figures]) >= 0.95
    assert min(f.auroc for f in figures) >= 0.85


def test_few_false_alarms_at_one_half(scores: Scores) -> None:
    there = np.array([[c in truth.categories for c, _, _ in scores.probes] for truth in scores.truths])
    assert (scores.p[~there] > 0.5).mean() <= 0.04
    assert (scores.p[there] > 0.5).mean() >= 0.8


def test_nearly_all_mass_is_on_answer_words(scores: Scores) -> None:
    assert scores.mass.mean() >= 0.99


def test_descriptions_name_the_pictograms(scores: Scores) -> None:
    recall, precision = scores.captions_right()
    assert recall >= 0.75
    assert precision >= 0.8


def test_wordings_never_trained_on_are_understood(service: Service, renderer: Renderer) -> None:
    rng = np.random.default_rng(4_712)
    drawn = [renderer.draw(rng, draw_size(rng), Mix(photo=0, writing=0, decoys=0)) for _ in range(30)]
    found = score(service, drawn, unseen_questions(), "unseen")
    there = np.array([[c in truth.categories for c, _, _ in found.probes] for truth in found.truths])
    assert np.mean(found.p[there] > 0.5) >= 0.7
    assert np.mean(found.p[~there] > 0.5) <= 0.08


@pytest.mark.parametrize("name", ["bakery.png", "forged-papers.png"])
def test_a_page_of_words_does_not_alarm(service: Service, name: str) -> None:
    with Image.open(ROOT / "docs" / "samples" / name) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    answers = service.ask(pixels, _PROBES, [READ])
    assert answers.p.max() < 0.5


@pytest.mark.parametrize("level", [0, 90, 255])
def test_an_empty_picture_does_not_alarm_and_has_no_text(service: Service, level: int) -> None:
    answers = service.ask(np.full((480, 640, 3), level, np.uint8), _PROBES, [READ])
    assert answers.p.max() < 0.5
    assert answers.texts == ("",)
