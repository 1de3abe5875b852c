import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from app.engine.worker.resident import Resident
from app.engine.worker.words import WordTokens, log_probabilities, log_total, word_tokens
from app.errors import ModelFileCorrupt

TOKENS = WordTokens(yes=(0, 1), no=(2, 3, 4))


def of(vocabulary: dict[str, list[int]], yes: list[str], no: list[str]) -> WordTokens:
    """A tokenizer by table; a token's piece is the part of the first word that begins with it."""
    pieces: dict[int, bytes] = {}
    for word, tokens in vocabulary.items():
        share = max(1, len(word.encode()) // len(tokens))
        for index, token in enumerate(tokens):
            pieces.setdefault(token, word.encode()[index * share : (index + 1) * share])
    return word_tokens(yes, no, lambda word: vocabulary[word], lambda token: pieces[token])


def test_a_word_of_one_token_counts() -> None:
    assert of({"Yes": [1], "No": [2]}, ["Yes"], ["No"]) == WordTokens((1,), (2,))


def test_a_longer_word_counts_by_a_first_token_that_is_a_whole_character() -> None:
    found = of({"有": [1], "没有": [2, 1]}, ["有"], ["没有"])

    assert found == WordTokens((1,), (2,))


def test_a_first_token_that_begins_words_of_both_sides_counts_for_neither() -> None:
    found = of({"有": [1], "可是": [5, 6], "不": [2], "可不": [5, 2]}, ["有", "可是"], ["不", "可不"])

    assert found == WordTokens((1,), (2,))


def test_a_word_keeps_its_token_from_a_longer_word_of_the_other_side() -> None:
    """是 is a yes, even where 是不 is listed as a no; and 不是 does not make 是 a no."""
    found = of({"是": [1], "不是": [2, 1], "是不": [1, 2]}, ["是"], ["不是", "是不"])

    assert found == WordTokens((1,), (2,))


def test_letters_and_parts_of_characters_count_for_nothing() -> None:
    found = of(
        {"Yes": [1], "yes": [10, 11, 12], "No": [2], "no": [13, 14], "无": [15, 16]}, ["Yes", "yes"], ["No", "no", "无"]
    )

    assert found == WordTokens((1,), (2,))


def test_a_side_without_words_is_refused() -> None:
    with pytest.raises(ModelFileCorrupt, match="no token of its own for any yes word"):
        of({"yes": [10, 11], "No": [2]}, ["yes"], ["No"])


def test_the_demonstration_model_has_both_languages(resident: Resident) -> None:
    def tokens(*words: str) -> set[int]:
        return {resident.tokenizer.plain(word)[0] for word in words}

    assert set(resident.words.yes) == tokens("Yes", " Yes", "yes", " yes", "是", "有", "对")
    assert set(resident.words.no) == tokens("No", " No", "no", " no", "否", "没")


@given(
    arrays.arrays(
        np.float32, st.integers(5, 40), elements=st.floats(-200, 200, width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_logarithms_are_those_of_the_softmax(logits: np.ndarray) -> None:
    found = log_probabilities(logits, TOKENS)

    exact = [math.exp(value - float(logits.max())) for value in logits.astype(float)]
    assert found is not None
    for log_p, side in zip(found, (TOKENS.yes, TOKENS.no), strict=True):
        expected = math.log(sum(math.exp(float(logits[i]) - float(logits[list(side)].max())) for i in side))
        expected += float(logits[list(side)].max()) - float(logits.max()) - math.log(sum(exact))
        assert log_p == pytest.approx(expected, abs=1e-6)
        assert log_p <= 1e-12
    assert math.exp(found[0]) + math.exp(found[1]) <= 1 + 1e-6


def test_a_whole_vocabulary_adds_up() -> None:
    """Of more tokens than are worked on at once, and not a multiple of them."""
    logits = (4 * np.random.default_rng(3).standard_normal(50_003)).astype(np.float32)
    logits[TOKENS.yes[0]] = 21.0

    found = log_total(logits)

    assert found == pytest.approx(math.log(np.exp(logits.astype(np.float64)).sum()), abs=1e-6)


def test_what_is_certain_is_no_more_than_that() -> None:
    logits = np.full(100_000, -300.0, np.float32)
    logits[TOKENS.yes[0]] = 17.3

    found = log_probabilities(logits, TOKENS)

    assert found is not None
    assert found[0] == 0.0


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_number_that_is_none_gives_no_answer(poison: float) -> None:
    logits = np.zeros(8, np.float32)
    logits[6] = poison

    assert log_probabilities(logits, TOKENS) is None


def test_a_side_that_is_impossible_gives_no_answer() -> None:
    logits = np.zeros(8, np.float32)
    logits[list(TOKENS.yes)] = -math.inf

    assert log_probabilities(logits, TOKENS) is None
