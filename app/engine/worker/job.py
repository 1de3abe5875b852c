"""One job's state, from its arrival to its last answer. It runs nothing: the scheduler does."""

import itertools
import json
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field

from app.domain import Priority, QuestionKind, Status
from app.engine.base import Reason
from app.engine.stopping import Stopping
from app.engine.worker import plan
from app.engine.worker.choosing import Choosing
from app.engine.worker.grammar import Grammar
from app.engine.worker.ledger import Account
from app.engine.worker.prompt import Tokenizer
from app.engine.worker.protocol import Answered, Ask, AskedQuestion, Done
from app.engine.worker.subject import Prefix

Say = Callable[[Answered | Done], None]

#: Each takes a step when it is more than one token.
_MOST_CHOICES = 64


@dataclass(slots=True, eq=False)
class Asking:
    """A question under way. `pending` are the tokens the model has yet to read, the first of them at `position`; what
    it wrote itself is in `grown`, and `draft` is what it may write next, read along with the pending one. `choosing` is
    there for a choice, `grammar` for an answer that one holds, `stopping` for one that stop texts may end.

    `come_to` stands for all that it has read: it is the same object for those, and only those, that have read all of
    it together.
    """

    question: plan.Prepared
    sequence: int
    position: int
    pending: tuple[int, ...]
    come_to: object
    grown: list[int] = field(default_factory=list)
    draft: tuple[int, ...] = ()
    #: What it read along was not what it says: it is to be forgotten from `position` on, with what came after it.
    strayed: bool = False
    choosing: Choosing | None = None
    grammar: Grammar | None = None
    stopping: Stopping | None = None

    @property
    def asks(self) -> bool:
        """Whether it is the question that it reads: not its own answer, nor a word that is chosen or not."""
        return not self.grown and not self.reads_words

    @property
    def reads_words(self) -> bool:
        return self.choosing is not None and self.choosing.reads_words

    def grow(self, token: int) -> bool:
        """The model goes on with this token. Whether its draft foresaw it, so that it has been read already."""
        self.grown.append(token)
        foreseen = bool(self.draft) and self.draft[0] == token
        if foreseen:
            self.draft = self.draft[1:]
            self.position += 1
        else:
            self.strayed, self.draft = bool(self.draft), ()
            self.pending = (token,)
        if self.grammar is not None:
            self.grammar.accept(token)
        return foreseen

    def read(self, count: int) -> None:
        """The model has read so many of the pending tokens."""
        self.pending = self.pending[count:]
        self.position += count
        self.strayed = False


@dataclass(frozen=True, slots=True)
class Drafts:
    """Tokens of drafts that were read, and those of them that were said then."""

    read: int = 0
    foreseen: int = 0


NO_DRAFTS = Drafts()


class Job:
    """Answers every question at most once. `alone`: nothing else may be in the context while it runs."""

    def __init__(self, ask: Ask, rgb: bytes, *, began: float, say: Say) -> None:
        self.ask = ask
        self.rgb = rgb
        self.began = began
        self.deadline = began + ask.remaining_s
        self.alone = False
        self.tainted = False
        #: How often it has left its place to a synchronous job.
        self.gave_way = 0
        #: The steps that its picture has yet to take, while it is on its way in.
        self.way_in: Iterator[int] | None = None
        self.open = {question.number: question for question in ask.questions}
        self.prefix: Prefix | None = None
        self.account: Account | None = None
        self.sequence: int | None = None
        self.start = 0
        self.asking: dict[int, Asking] = {}
        self._unprepared = deque(ask.questions)
        self._prepared: list[plan.Prepared] = []
        #: The next is the last of these; beside each, the largest of it and those that come after.
        self._waiting: list[plan.Prepared] = []
        self._promises: list[int] = []
        self._say = say

    @property
    def urgent(self) -> bool:
        """Somebody waits for it: it is no bulk job."""
        return self.ask.priority <= Priority.SYNCHRONOUS

    @property
    def urgency(self) -> tuple[int, bool, int]:
        """The smallest goes first. One that must be alone has been through a fault and waited longest."""
        return self.ask.priority, not self.alone, self.ask.job

    @property
    def promised(self) -> int:
        """The cells of its largest question that waits."""
        return self._promises[-1] if self._promises else 0

    @property
    def waits(self) -> bool:
        """Whether it has questions that are not under way."""
        return bool(self._waiting)

    @property
    def next_question(self) -> plan.Prepared:
        return self._waiting[-1]

    @property
    def promised_then(self) -> int:
        """As `promised`, once the next question is under way."""
        return self._promises[-2] if len(self._promises) > 1 else 0

    def begin_next(self, sequence: int) -> Asking:
        self._promises.pop()
        question = self._waiting.pop()
        choosing = Choosing(question.choices) if question.kind is QuestionKind.CHOICE else None
        asking = self.asking[sequence] = Asking(
            question, sequence, self.start, question.tokens, come_to=self, choosing=choosing
        )
        asking.stopping = Stopping(question.stop) if question.stop else None
        return asking

    @property
    def prepared(self) -> bool:
        return self.prefix is not None and not self._unprepared

    def refuse_empty_answers(self) -> None:
        for question in list(self.open.values()):
            if question.kind is QuestionKind.GENERATE and question.max_tokens < 1:
                self.fail(question.number, Reason.NO_TOKENS_ALLOWED)

    def prepare_next(self, tokenizer: Tokenizer, ending: str, room: int, window: int) -> None:
        """The next question as tokens, which takes a tokenizer about a millisecond the first time. One that cannot fit
        in `room` cells even alone is ended, and a choice that is longer than the `window` (see Model)."""
        question = self._unprepared.popleft()
        if question.number in self.open:
            found = _tokenized(tokenizer, question, ending, room)
            if found is not None and question.kind is QuestionKind.CHOICE and not plan.are_distinct(found.choices):
                self.fail(question.number, Reason.CHOICES_NOT_DISTINCT)
            elif found is None or found.cells > (min(room, window) if found.choices else room):
                self.fail(question.number, Reason.QUESTION_TOO_LONG)
            else:
                self._prepared.append(found)
        if self.prepared:
            self.rewind()

    def rewind(self) -> None:
        """As it was before its picture was shown; what is answered stays answered."""
        self.account, self.sequence, self.start, self.way_in = None, None, 0, None
        self.asking.clear()
        self._wait_for(plan.ordered(question for question in self._prepared if question.number in self.open)[::-1])

    def give_up(self, numbers: Container[int]) -> None:
        """Forget these questions, which are not under way: nobody wants their answers."""
        self.open = {number: question for number, question in self.open.items() if number not in numbers}
        self._wait_for([question for question in self._waiting if question.number not in numbers])

    def _wait_for(self, questions: list[plan.Prepared]) -> None:
        self._waiting = questions
        self._promises = list(itertools.accumulate((question.cells for question in questions), max))

    def answer_yes_no(self, number: int, log_yes: float, log_no: float) -> None:
        self._answer(Answered(job=self.ask.job, number=number, status=Status.OK, log_yes=log_yes, log_no=log_no))

    def answer_json(self, number: int, pieces: Iterable[bytes], *, whole: bool) -> None:
        """Whole or not at all: half an object says nothing."""
        text = _json_of(b"".join(pieces)) if whole else None
        if text is None:
            self.fail(number, Reason.SCHEMA_NOT_MET)
        else:
            self._answer(Answered(job=self.ask.job, number=number, status=Status.OK, text=text))

    def answer_text(self, number: int, pieces: Iterable[bytes], *, truncated: bool) -> None:
        text = b"".join(pieces).decode("utf-8", "replace")
        # A character that the end cut through is left out; other broken bytes show as what they are.
        text = text.rstrip("\ufffd") if truncated else text
        self._answer(
            Answered(job=self.ask.job, number=number, status=Status.OK, text=text.strip(), truncated=truncated)
        )

    def answer_choice(self, number: int, log_choices: Iterable[float]) -> None:
        self._answer(Answered(job=self.ask.job, number=number, status=Status.OK, log_choices=tuple(log_choices)))

    def fail(self, number: int, reason: Reason) -> None:
        self._answer(Answered(job=self.ask.job, number=number, status=Status.FAILED, reason=reason))

    def fail_all(self, reason: Reason) -> None:
        for number in list(self.open):
            self.fail(number, reason)

    def time_out(self) -> None:
        for number in list(self.open):
            self._answer(Answered(job=self.ask.job, number=number, status=Status.TIMEOUT, reason=Reason.DEADLINE))

    def done(self, now: float, *, longest_turn_s: float = 0.0, drafts: Drafts = NO_DRAFTS) -> None:
        self._say(
            Done(
                job=self.ask.job,
                picture_tokens=self.prefix.picture_tokens if self.prefix is not None else 0,
                total_ms=(now - self.began) * 1000,
                longest_turn_ms=longest_turn_s * 1000,
                drafted_tokens=drafts.read,
                foreseen_tokens=drafts.foreseen,
            )
        )

    def _answer(self, answered: Answered) -> None:
        if self.open.pop(answered.number, None) is not None:
            self._say(answered)


def _json_of(written: bytes) -> str | None:
    """Bytes that are no UTF-8 would become more characters than the schema's grammar counted."""
    try:
        text = written.decode()
        json.loads(text)
    except ValueError:
        return None
    return text


def _tokenized(tokenizer: Tokenizer, question: AskedQuestion, ending: str, room: int) -> plan.Prepared | None:
    choices = question.choices if question.kind is QuestionKind.CHOICE else ()
    if any(tokenizer.too_long(text, room) for text in (question.prompt, *choices)) or len(choices) > _MOST_CHOICES:
        return None
    return plan.prepare(
        question,
        tokenizer.plain(question.prompt) + tokenizer.form(ending),
        [tokenizer.plain(choice) for choice in choices],
    )
