from hypothesis import given
from hypothesis import strategies as st

from app.engine.worker.ngrams import Ngrams

WHAT, WHERE = (1, 2, 3), (1, 2, 4)


def tokens(text: str) -> list[int]:
    return [ord(character) for character in text]


def foreseen(ngrams: Ngrams, said: str, most: int = 99, question: tuple[int, ...] = WHAT) -> str:
    return "".join(chr(guess.token) for guess in ngrams.go_on(question, tokens(said), most))


def test_nothing_is_guessed_at_first() -> None:
    assert foreseen(Ngrams(), "") == ""
    assert foreseen(Ngrams(), "the image") == ""


def test_it_guesses_what_was_said_to_the_same_question() -> None:
    ngrams = Ngrams()
    ngrams.learn(WHAT, tokens("a cat on a mat"), whole=True)

    assert foreseen(ngrams, "") == "a cat on a mat"
    assert foreseen(ngrams, "a dog on") == " a mat"
    assert foreseen(ngrams, "", most=3) == "a c"
    assert foreseen(ngrams, "", question=WHERE) == ""


def test_where_answers_part_the_more_frequent_way_is_guessed() -> None:
    ngrams = Ngrams()
    for said in ("a cat", "a dog", "a cat", "a cow", "a cat"):
        ngrams.learn(WHAT, tokens(said), whole=True)

    assert foreseen(ngrams, "") == "a cat"
    chances = [guess.chance for guess in ngrams.go_on(WHAT, [], 99)]
    assert chances[2] < 0.7 * chances[1]


def test_it_follows_a_change_of_habit() -> None:
    ngrams = Ngrams()
    for said in ["a cat"] * 5 + ["a dog"] * 6:
        ngrams.learn(WHAT, tokens(said), whole=True)

    assert foreseen(ngrams, "a ") == "dog"


def test_an_end_is_not_guessed_past_and_a_cut_is_no_end() -> None:
    ngrams = Ngrams()
    ngrams.learn(WHAT, tokens("ab"), whole=True)
    assert foreseen(ngrams, "ab") == ""

    ngrams.learn(WHERE, tokens("ab"), whole=False)
    ngrams.learn(WHERE, tokens("abc"), whole=False)
    assert foreseen(ngrams, "ab", question=WHERE) == "c"


def test_memory_is_bounded_and_what_is_met_again_stays() -> None:
    ngrams = Ngrams(most_contexts=100)
    for number in range(500):
        ngrams.learn(WHAT, tokens("often"), whole=True)
        ngrams.learn(WHERE, [1000 + number, 2000 + number, 3000 + number], whole=True)

        assert len(ngrams) <= 200
        assert foreseen(ngrams, "") == "often"
    assert ngrams.go_on(WHERE, [1000], 9) == []


@given(
    answers=st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=8),
    said=st.lists(st.integers(0, 4), max_size=6),
    most=st.integers(0, 10),
)
def test_chances_are_probabilities_that_only_fall(answers: list[list[int]], said: list[int], most: int) -> None:
    ngrams = Ngrams(most_contexts=20)
    for answer in answers:
        ngrams.learn(WHAT, answer, whole=len(answer) % 2 == 0)

    guesses = ngrams.go_on(WHAT, said, most)

    assert len(guesses) <= most
    chances = [guess.chance for guess in guesses]
    assert chances == sorted(chances, reverse=True)
    assert all(0 < chance < 1 for chance in chances)
    assert {guess.token for guess in guesses} <= set(range(5))
