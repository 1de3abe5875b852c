"""What a list of likeliest tokens says of an answer, against the whole vocabulary it was cut from."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Answer, Question, QuestionKind, Status
from app.engine.base import AnswerWords
from app.engine.catalogue import Catalogue
from app.engine.remote.reading import MOST_DOUBT, read_answer
from app.engine.remote.wire import Choice, Completion, Logprobs, Message, TokenLogprob, TopLogprob
from app.engine.worker.words import word_tokens
from tests.engine.remote.scripted import WORDS

ASKED = Question("q", QuestionKind.YES_NO, "Is it?")
_OTHERS = ("a", "the", "不过", "Yesterday", "Nothing", "", " ", "<tool>", "ja", "nein")
_VOCABULARY = (*WORDS.yes, *WORDS.no, "没", *_OTHERS)


def said(tokens: list[TopLogprob]) -> Completion:
    content = [TokenLogprob(top_logprobs=tokens)]
    return Completion(choices=[Choice(message=Message(content=""), logprobs=Logprobs(content=content))])


def read(
    probabilities: dict[str, float],
    question: Question = ASKED,
    words: AnswerWords = WORDS,
    *,
    asked: int | None = None,
) -> Answer:
    tokens = [TopLogprob(token=token, logprob=math.log(p)) for token, p in probabilities.items()]
    return read_answer(question, said(tokens), words, asked or len(tokens))


@given(
    logits=st.lists(st.floats(-12, 12), min_size=len(_VOCABULARY), max_size=len(_VOCABULARY)),
    length=st.integers(1, len(_VOCABULARY)),
)
def test_an_answer_is_as_the_whole_vocabulary_has_it_or_none_is_given(logits: list[float], length: int) -> None:
    total = math.fsum(math.exp(logit) for logit in logits)
    p = {token: math.exp(logit) / total for token, logit in zip(_VOCABULARY, logits, strict=True)}
    yes = math.fsum(p[word] for word in WORDS.yes)
    no = math.fsum(p[word] for word in (*WORDS.no, "没"))
    top = sorted(p.items(), key=lambda item: -item[1])[:length]

    answer = read(dict(top))

    if answer.status is Status.OK:
        assert answer.log_yes is not None
        assert answer.log_no is not None
        read_yes, read_no = math.exp(answer.log_yes), math.exp(answer.log_no)
        assert read_yes / (read_yes + read_no) == pytest.approx(yes / (yes + no), abs=MOST_DOUBT)
        assert read_yes + read_no <= 1 + 1e-6
    else:
        assert answer.reason == "inconclusive_logprobs"
        assert length < len(_VOCABULARY), "nothing was left open"


@given(
    logits=st.lists(st.floats(-12, 12), min_size=2 * len(_VOCABULARY), max_size=2 * len(_VOCABULARY)),
    length=st.integers(2, 2 * len(_VOCABULARY)),
)
def test_tokens_that_a_server_lists_as_one_mislead_nobody(logits: list[float], length: int) -> None:
    """Two tokens of one text, as SentencePiece has them with and without a space: by text, the less likely stays."""
    total = math.fsum(math.exp(logit) for logit in logits)
    tokens = [(token, math.exp(logit) / total) for token, logit in zip(_VOCABULARY * 2, logits, strict=True)]
    yes = math.fsum(p for token, p in tokens if token in WORDS.yes)
    no = math.fsum(p for token, p in tokens if token in (*WORDS.no, "没"))
    by_text = {token.lstrip(): p for token, p in sorted(tokens, key=lambda item: -item[1])[:length]}

    answer = read(by_text, asked=length)

    if answer.status is Status.OK:
        assert answer.log_yes is not None
        assert answer.log_no is not None
        read_yes, read_no = math.exp(answer.log_yes), math.exp(answer.log_no)
        assert read_yes / (read_yes + read_no) == pytest.approx(yes / (yes + no), abs=MOST_DOUBT)
    else:
        assert answer.reason == "inconclusive_logprobs"


def test_the_less_likely_of_two_tokens_of_one_text_is_not_all_of_it() -> None:
    """Of a yes of 0.4 a server that lists by text leaves what its other spelling has."""
    assert read({"No": 0.55, "Yes": 0.001, "a": 0.04, "b": 0.009}, asked=5).reason == "inconclusive_logprobs"
    assert read({"No": 0.94, "Yes": 0.05, "a": 0.009, "b": 0.0009}, asked=5).status is Status.OK
    assert read({"No": 0.55, " Yes": 0.001, "\ufffd": 0.04}, asked=5).status is Status.OK, "spaces are kept apart"


def test_a_list_of_one_certainty_is_a_choice_and_no_opinion() -> None:
    for zero in (None, -math.inf, -9999.0, -3.4028234663852886e38):
        tokens = [TopLogprob(token="No", logprob=0.0), *(TopLogprob(token=word, logprob=zero) for word in ("Yes", "a"))]
        assert read_answer(ASKED, said(tokens), WORDS, 3).reason == "no_logprobs"
    unlikely = [TopLogprob(token="No", logprob=0.0), TopLogprob(token="Yes", logprob=-90.0)]
    assert read_answer(ASKED, said(unlikely), WORDS, 2).status is Status.OK


def test_all_variants_of_a_word_add_up() -> None:
    answer = read({"Yes": 0.5, " Yes": 0.2, "是": 0.1, "No": 0.1, "没": 0.05, "a": 0.04999})

    assert answer.status is Status.OK
    assert [answer.log_yes, answer.log_no] == pytest.approx([math.log(0.8), math.log(0.15)])


def test_a_word_is_not_a_part_of_a_longer_one() -> None:
    answer = read({"Yesterday": 0.9, "不过": 0.05, "Yes": 0.02, "No": 0.029999})

    assert answer.log_yes == pytest.approx(math.log(0.02))


def test_a_side_that_is_not_listed_is_taken_at_the_most_it_can_be() -> None:
    answer = read({"Yes": 0.999, "a": 0.0006, "b": 0.0003})

    assert answer.status is Status.OK
    assert answer.log_no == pytest.approx(math.log(0.0001))


def test_a_list_that_holds_neither_answers_nothing() -> None:
    assert read({"The": 0.9, "A": 0.0999}).reason == "inconclusive_logprobs"


def test_zero_is_written_in_two_ways() -> None:
    tokens = [TopLogprob(token="Yes", logprob=-0.0001), TopLogprob(token="No", logprob=-8.0)]
    zeros = [TopLogprob(token="no", logprob=None), TopLogprob(token="否", logprob=-math.inf)]

    with_zeros, without = (read_answer(ASKED, said(top), WORDS, 2) for top in (tokens + zeros, tokens))

    assert with_zeros.status is without.status is Status.OK
    assert with_zeros.log_yes == without.log_yes


def test_the_bytes_say_more_than_the_text() -> None:
    whole = TopLogprob(token="\ufffd", logprob=math.log(0.9), bytes=list("是".encode()))
    broken = TopLogprob(token="否", logprob=math.log(0.0999), bytes=list("否".encode()[:2]))

    answer = read_answer(ASKED, said([whole, broken]), WORDS, 2)

    assert answer.log_yes == pytest.approx(math.log(0.9))
    assert answer.log_no == pytest.approx(math.log(0.0001), rel=0.01)


def test_the_words_are_those_of_the_local_engine(catalogue: Catalogue) -> None:
    """With a tokenizer that has a token for each English word and each Chinese character."""
    words = AnswerWords(**catalogue.entry("youtu-vl-4b").words.model_dump())
    vocabulary = sorted({token for word in (*words.yes, *words.no) for token in _tokens(word)})
    local = word_tokens(
        words.yes,
        words.no,
        lambda text: [vocabulary.index(token) for token in _tokens(text)],
        lambda token: vocabulary[token].encode(),
    )
    rest = 1 / len(vocabulary)

    answer = read(dict.fromkeys(vocabulary, rest), words=words)

    assert answer.log_yes == pytest.approx(math.log(len(local.yes) * rest))
    assert answer.log_no == pytest.approx(math.log(len(local.no) * rest))


def _tokens(word: str) -> list[str]:
    return [word] if word.isascii() else list(word)


class TestChoice:
    CHOICE = Question("c", QuestionKind.CHOICE, "Which?", choices=("cat", "cow", "dog"))

    def test_each_word_has_its_probability(self) -> None:
        answer = read({"cat": 0.6, "cow": 0.3, "dog": 0.05, "horse": 0.05}, self.CHOICE)

        assert answer.log_choices == pytest.approx([math.log(0.6), math.log(0.3), math.log(0.05)])

    def test_the_beginning_of_one_word_alone_is_that_word(self) -> None:
        answer = read({"ca": 0.6, "cow": 0.3, "d": 0.05, "horse": 0.05}, self.CHOICE)

        assert answer.log_choices == pytest.approx([math.log(0.6), math.log(0.3), math.log(0.05)])

    def test_what_may_be_several_words_leaves_the_answer_open(self) -> None:
        assert read({"c": 0.6, "dog": 0.3, "horse": 0.1}, self.CHOICE).reason == "inconclusive_logprobs"
        assert read({"c": 0.001, "cat": 0.6, "cow": 0.3, "dog": 0.05, "horse": 0.04}, self.CHOICE).status is Status.OK

    def test_a_longer_word_is_another(self) -> None:
        answer = read({"cattle": 0.5, "cat": 0.3, "cow": 0.1, "dog": 0.0999}, self.CHOICE)

        assert answer.log_choices is not None
        assert answer.log_choices[0] == pytest.approx(math.log(0.3))
