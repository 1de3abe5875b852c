"""An answer read off the likeliest first tokens that a server tells of. Pure.

The local engine sums over the whole vocabulary; a server lists the first few tokens. Of what it does not list two
things are known: together it is what the listed lack to 1, and none of it is likelier than the last that is listed. So
every sum lies within bounds, and an answer is given only where they leave its probability open by `MOST_DOUBT` at most.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.domain import Answer, Question, QuestionKind, Status
from app.engine.base import AnswerWords, Reason, unanswered
from app.engine.remote.structured import held_to
from app.engine.remote.wire import Completion, TopLogprob
from app.engine.stopping import cut_at_stop

#: How far the probability of an answer (yes against no, a choice against the others) may be from what is said.
MOST_DOUBT = 0.02
#: Rounded exponentials may add up to slightly more than the whole.
_SLACK = 1e-3
#: What is left of a list that adds up to 1: smaller than any server's rounding.
_LEAST = 1e-9
#: No tokenizer's longest piece is longer, in characters.
_MAX_CHARACTERS_PER_TOKEN = 128


#: What a token's text begins: the number of a side, or _SEVERAL when only what follows would tell.
_Spellings = Mapping[str, int]
_SEVERAL = -1


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of each side, the probability that is listed and the most that may not be; `several` may belong to any.
    `left_open`: the most that may be of any side and is not told which."""

    listed: tuple[float, ...]
    unlisted: tuple[float, ...]
    several: float
    left_open: float

    @property
    def doubt(self) -> float:
        return self.left_open / (math.fsum(self.listed) + self.left_open)

    @property
    def logs(self) -> tuple[float, ...]:
        """A side of which nothing is listed is taken at the most it can be."""
        most = (unlisted + self.several for unlisted in self.unlisted)
        return tuple(math.log(listed or other) for listed, other in zip(self.listed, most, strict=True))


def read_answer(question: Question, completion: Completion, words: AnswerWords, asked: int) -> Answer:
    """`asked`: how many tokens the server was to list."""
    if question.kind is QuestionKind.GENERATE:
        return _read_text(question, completion)
    listed = completion.listed
    if not listed or tells_its_choice(listed):
        return unanswered(question, Status.FAILED, Reason.NO_LOGPROBS)
    whole = len(listed) >= asked or _keeps_spaces(listed)
    if question.kind is QuestionKind.YES_NO:
        summed = _sums(listed, _spelled(words), 2, whole=whole)
    else:
        summed = _sums(listed, _begun(question.choices), len(question.choices), whole=whole)
    if isinstance(summed, Reason):
        return unanswered(question, Status.FAILED, summed)
    if summed.doubt > MOST_DOUBT:
        return unanswered(question, Status.FAILED, Reason.INCONCLUSIVE_LOGPROBS)
    if question.kind is QuestionKind.CHOICE:
        return Answer(question_id=question.id, status=Status.OK, log_choices=summed.logs)
    log_yes, log_no = summed.logs
    return Answer(question_id=question.id, status=Status.OK, log_yes=log_yes, log_no=log_no)


def tells_its_choice(listed: Sequence[TopLogprob]) -> bool:
    """All on one token, and exactly nothing on the others: what a server made of the model's probabilities by choosing.
    A model of two minds would look as sure as any (vLLM with `processed_logprobs`, some of SGLang)."""
    possible = [entry for entry in listed if _probability(entry.logprob) != 0.0]
    return len(possible) <= 1 < len(listed)


def _read_text(question: Question, completion: Completion) -> Answer:
    text, choice = completion.text, completion.choice
    if choice.message.thought and not (text or "").strip():
        return unanswered(question, Status.FAILED, Reason.ONLY_THOUGHT)
    if text is None or len(text) > question.max_tokens * _MAX_CHARACTERS_PER_TOKEN:
        return unanswered(question, Status.FAILED, Reason.MALFORMED_ANSWER)
    if choice.finish_reason == "content_filter":
        return unanswered(question, Status.FAILED, Reason.ENGINE_REFUSED)
    if question.json_schema is not None:
        held = held_to(text, question.json_schema)
        if held is None:
            return unanswered(question, Status.FAILED, Reason.SCHEMA_NOT_MET)
        return Answer(question_id=question.id, status=Status.OK, text=held)
    # A server that passes over what it does not know has gone on after it.
    text, stopped = cut_at_stop(text, question.stop)
    # No database takes a NUL in text.
    text = text.replace("\0", "\ufffd").strip()
    truncated = choice.finish_reason == "length" and not stopped
    return Answer(question_id=question.id, status=Status.OK, text=text, truncated=truncated)


def _sums(listed: Sequence[TopLogprob], spellings: _Spellings, sides: int, *, whole: bool) -> _Sums | Reason:
    """Not `whole`: a text may stand for several tokens and have the probability of the last. What is missing may be of
    any side then, and as likely as can be."""
    found = dict.fromkeys(range(_SEVERAL, sides), 0.0)
    every: list[float] = []
    missing = Counter(spellings.values())
    seen: set[str] = set()
    for entry in listed:
        p = _probability(entry.logprob)
        if p is None:
            return Reason.NON_FINITE
        every.append(p)
        text = _text(entry)
        if text is not None and text in spellings:
            found[spellings[text]] += p
            missing[spellings[text]] -= text not in seen
            seen.add(text)
    total = math.fsum(every)
    if total > 1 + _SLACK:
        return Reason.MALFORMED_ANSWER
    rest, least = max(1 - total, _LEAST), min(every)
    most = {side: min(rest, least * missing[side]) if whole else rest for side in found}
    unlisted = tuple(max(_LEAST, most[side]) for side in range(sides))
    return _Sums(
        listed=tuple(found[side] for side in range(sides)),
        unlisted=unlisted,
        several=found[_SEVERAL] + most[_SEVERAL],
        left_open=found[_SEVERAL] + min(rest, math.fsum(unlisted) + most[_SEVERAL]),
    )


def _keeps_spaces(listed: Sequence[TopLogprob]) -> bool:
    """Fewer are listed than were asked for where a server lists tokens by their text, as SGLang and llama_cpp.server
    do: those of one text are one entry. Parts of characters may be, which are no word; and words with and without a
    space before them, if the server leaves the space out."""
    return any(entry.token.startswith(" ") and entry.token.strip() for entry in listed)


def _probability(log: float | None) -> float | None:
    """Null and minus infinity are how servers write the logarithm of zero. None for what is no logarithm."""
    if log is None:
        return 0.0
    if math.isnan(log) or log > _SLACK:
        return None
    return math.exp(log)


def _text(entry: TopLogprob) -> str | None:
    """None for a token that is a part of a character."""
    if not entry.bytes:
        return entry.token
    try:
        return bytes(entry.bytes).decode("utf-8")
    except UnicodeDecodeError:
        return None


@lru_cache(maxsize=16)
def _spelled(words: AnswerWords) -> _Spellings:
    """0 for what begins a yes, 1 for what begins a no. The first part of a word counts where it is whole characters of
    a script without spaces and begins words of one side alone: 没 of 没有. The same rule as the local engine's."""
    sides = (words.yes, words.no)
    whole = {word: number for number, side in enumerate(sides) for word in side}
    parts = {part for word in whole for part in _parts(word) if part.isalpha() and not part.isascii()}
    begun = {part: [any(word.startswith(part) for word in side) for side in sides] for part in parts - whole.keys()}
    return whole | {part: begins.index(True) for part, begins in begun.items() if begins.count(True) == 1}


@lru_cache(maxsize=256)
def _begun(choices: tuple[str, ...]) -> _Spellings:
    begun: dict[str, int] = {}
    for number, choice in enumerate(choices):
        for part in (*_parts(choice), choice):
            begun[part] = number if part not in begun else _SEVERAL
    return begun


def _parts(word: str) -> list[str]:
    """Its beginnings, itself not among them."""
    return [word[:length] for length in range(1, len(word))]
