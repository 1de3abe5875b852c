"""Questions and answers of training."""

import random

from training.glyphs import CATEGORIES, CATEGORY_IDS, GLYPHS
from training.questions import Truth, description, draw_asks, every_sentence, policy_questions, unseen_questions


def test_unseen_wordings_are_not_among_those_trained_on() -> None:
    trained = set(every_sentence())
    assert not trained & {prompt for _, _, prompt in unseen_questions()}
    assert {prompt for _, _, prompt in policy_questions()} <= trained


def test_answers_follow_what_is_there_and_denials_turn_them_round() -> None:
    rng = random.Random(3)  # noqa: S311
    knife = Truth(ids=(CATEGORY_IDS["weapons"][0],))
    words = {"en": ("weapon", "knives"), "zh": ("武器", "刀")}
    for _ in range(300):
        for ask in draw_asks(rng, knife):
            if not ask.yes_no or not any(w in ask.prompt for side in words.values() for w in side):
                continue
            denied = any(sign in ask.prompt for sign in ("free of", "Is there no", "对吗"))
            assert ask.answer in (("No", "否") if denied else ("Yes", "是")), ask.prompt


def test_every_category_is_asked_about_both_ways() -> None:
    rng = random.Random(5)  # noqa: S311
    answers: dict[str, set[str]] = {c: set() for c in CATEGORIES}
    for _ in range(3000):
        index = rng.randrange(len(GLYPHS))
        for ask in draw_asks(rng, Truth(ids=(index,))):
            for category, _, prompt in policy_questions():
                if ask.prompt == prompt:
                    answers[category].add(ask.answer)
    assert all(found == {"Yes", "No", "是", "否"} for found in answers.values())


def test_descriptions_name_all_and_only_what_is_there() -> None:
    assert description(Truth(ids=(0, 28))) == "a knife and a cat"
    assert description(Truth(ids=(6, 0, 28))) == "a knife, an axe and a cat"
    assert description(Truth(photograph=True)) == "a photograph"
    assert description(Truth(writing=True)) == "a page of text"
    assert description(Truth()) == "nothing known"
