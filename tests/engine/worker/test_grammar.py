"""Answers held by a grammar: they parse, meet the schema, and leave the questions beside them as they are."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Question, QuestionKind, Status
from app.engine.schema import schema_grammar
from app.engine.worker import decode
from app.engine.worker.grammar import BrokenGrammar, Grammar
from app.engine.worker.model import Model
from app.engine.worker.protocol import AskedQuestion
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits
from tests.engine.jobs import BOUND, caption, picture, probes
from tests.engine.tiny.pairs import QWEN_TEMPLATE
from tests.engine.worker.desk import Desk, run
from tests.engine.worker.test_architectures import loaded

REPORT = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["photo", 'draw"ing', "截图", None]},
        "people": {"type": "integer", "minimum": 0, "maximum": 9},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 4}, "maxItems": 2},
        "sure": {"type": "boolean"},
        "share": {"enum": [0.25, 0.5, -1e-3]},
    },
}


def asked_for(schema: object, most: int = 400, text: str = "Describe the image.") -> Question:
    return Question("json", QuestionKind.GENERATE, text, most, json_schema=json.dumps(schema))


def meets(value: object, schema: dict[str, object]) -> bool:  # noqa: PLR0911 - a case each
    """The part of JSON Schema that is taken, read the other way round."""
    if "anyOf" in schema:
        return any(meets(value, one) for one in schema["anyOf"])
    if "enum" in schema:
        return any(value == one and type(value) is type(one) for one in schema["enum"])
    kind = schema["type"]
    if kind == "object":
        inner = schema.get("properties", {})
        return isinstance(value, dict) and list(value) == list(inner) and all(meets(value[k], inner[k]) for k in inner)
    if kind == "array":
        within = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return isinstance(value, list) and within and all(meets(one, schema["items"]) for one in value)
    if kind == "string":
        return isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 9999)
    if kind == "integer":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return {"boolean": isinstance(value, bool), "null": value is None, "number": isinstance(value, int | float)}[kind]


LEAVES = st.sampled_from(
    [
        {"type": "boolean"},
        {"type": "null"},
        {"type": "integer", "minimum": -3, "maximum": 12},
        {"type": "string", "minLength": 2, "maxLength": 3},
        {"type": "string", "maxLength": 0},
        {"enum": ["a b", "\\", "\n", "ключ", 1.5]},
        {"anyOf": [{"type": "null"}, {"enum": ["x"]}]},
    ]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda items, most: {"type": "array", "items": items, "maxItems": most}, inner, st.integers(0, 2))
        | st.dictionaries(st.text(max_size=3).filter(str.isprintable), inner, max_size=3).map(
            lambda found: {"type": "object", "properties": found}
        )
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_meets_its_schema(resident: Resident, seed: int) -> None:
    answer = run(resident, picture(seed), [asked_for(REPORT)])[0]

    assert answer.status is Status.OK
    assert answer.text is not None
    assert meets(json.loads(answer.text), REPORT)
    assert not answer.truncated


@settings(max_examples=25)
@given(SCHEMAS)
def test_any_schema_that_is_taken_is_met_or_the_answer_fails(resident: Resident, schema: dict[str, object]) -> None:
    answer = run(resident, picture(0), [asked_for(schema, most=150)])[0]

    if answer.status is Status.OK:
        assert answer.text is not None
        assert meets(json.loads(answer.text), schema)
    else:
        assert (answer.status, answer.reason) == (Status.FAILED, "schema_not_met")


def test_the_control_would_catch_an_answer_that_does_not_meet_it(resident: Resident) -> None:
    free = run(resident, picture(0), [caption(16)])[0]

    assert free.text is not None
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(free.text)
    assert not meets({"text": "x"}, REPORT)


@pytest.mark.parametrize("most", [1, 5, 30])
def test_half_an_answer_is_none(resident: Resident, most: int) -> None:
    answer = run(resident, picture(0), [asked_for(REPORT, most)])[0]

    assert (answer.status, answer.reason, answer.text) == (Status.FAILED, "schema_not_met", None)


def test_an_answer_that_is_whole_with_its_last_token_is_one(resident: Resident) -> None:
    """There is no room for the token that would say so."""
    letters = len('"yes"')
    answers = {
        most: run(resident, picture(0), [asked_for({"enum": ["yes"]}, most)])[0] for most in range(1, letters + 1)
    }
    needed = min(most for most, answer in answers.items() if answer.status is Status.OK)

    assert 1 < needed <= letters
    assert {answers[most].text for most in range(needed, letters + 1)} == {'"yes"'}
    assert {answers[most].reason for most in range(1, needed)} == {"schema_not_met"}


def test_a_held_answer_changes_nothing_for_those_beside_it(resident: Resident) -> None:
    questions = [*probes()[:4], caption(8), asked_for(REPORT), asked_for({"type": "boolean"}), caption(12)]

    together = run(resident, picture(1), questions)

    for number, question in enumerate(questions):
        alone = run(resident, picture(1), [question])[0]
        assert together[number].status is alone.status is Status.OK
        assert together[number].log_yes == pytest.approx(alone.log_yes, abs=BOUND)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many grammars are held now."""
    count = [0]
    begin, end = Grammar.__init__, Grammar.close

    def counted(self: Grammar, *given: object) -> None:
        begin(self, *given)  # type: ignore[arg-type]
        count[0] += 1

    def uncounted(self: Grammar) -> None:
        end(self)
        count[0] -= 1

    monkeypatch.setattr(Grammar, "__init__", counted)
    monkeypatch.setattr(Grammar, "close", uncounted)
    return count


@pytest.mark.parametrize("how", ["finish", "cancel", "give up", "late"])
def test_grammars_are_freed_however_a_question_ends(resident: Resident, held: list[int], how: str) -> None:
    most = 0
    for turns in range(1, 26, 6):
        desk = Desk(resident)
        desk.submit(picture(0), [asked_for(REPORT), asked_for({"type": "boolean"}), probes()[0]])
        for _ in range(turns):
            desk.scheduler.turn()
        most = max(most, held[0])
        if how == "cancel":
            desk.scheduler.cancel(1)
        elif how == "give up":
            desk.scheduler.cancel(1, [0])
        elif how == "late":
            desk.now = 61.0
        desk.finish()
        desk.assert_empty()
        decode.forget(resident.model, wipe=True)
        assert held[0] == 0
    assert most > 0


def test_a_step_that_fails_frees_them_and_asks_again(
    resident: Resident, desk: Desk, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([True])
    real = decode.decode

    def failing(*given: object) -> object:
        if held[0] == 2 and next(failures, False):
            raise decode.Fault("decode failed with code -3")
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "decode", failing)
    for number in (1, 2):
        desk.submit(picture(number), [asked_for(REPORT)], number=number)
    desk.finish()

    assert held[0] == 0
    for number in (1, 2):
        assert meets(json.loads(desk.answers(number)[0].text or ""), REPORT)


def test_rules_that_llama_cpp_refuses_fail_the_question(resident: Resident, desk: Desk) -> None:
    with pytest.raises(BrokenGrammar):
        Grammar(resident.tokenizer, "root ::= (")
    good = Question("q", QuestionKind.GENERATE, "Describe the image.", 4)
    desk.submit(picture(0), [good, probes()[0]])
    asked = next(iter(desk.scheduler._waiting)).ask.questions[0]
    broken = AskedQuestion(**{**asked.model_dump(), "grammar": "root ::= ("})
    next(iter(desk.scheduler._waiting))._unprepared[0] = broken
    desk.finish()

    assert (desk.answers()[0].status, desk.answers()[0].reason) == (Status.FAILED, "schema_unsupported")
    assert desk.answers()[1].status is Status.OK


@pytest.fixture
def grammar(resident: Resident) -> Iterator[Grammar]:
    found = Grammar(resident.tokenizer, schema_grammar('{"type": "string", "maxLength": 5}'))
    yield found
    found.close()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_likeliest_allowed_token_is_chosen(resident: Resident, seed: int) -> None:
    """Whatever the logits: shown piece by piece it is the same as shown the whole vocabulary."""
    found = Grammar(resident.tokenizer, schema_grammar('{"type": "string", "maxLength": 5}'))
    logits = np.random.default_rng(seed).normal(size=resident.model.vocab_tokens).astype(np.float32)

    for _ in range(4):
        chosen = found.choose(logits)
        whole = found._best(np.array(logits), logits.size)
        assert chosen == whole
        if chosen is None or resident.tokenizer.ends_generation(chosen):
            break
        found.accept(chosen)
    found.close()


def test_a_control_token_is_no_part_of_a_text_however_likely(resident: Resident, grammar: Grammar) -> None:
    tokenizer, size = resident.tokenizer, resident.model.vocab_tokens
    controls = [token for token in range(size) if tokenizer._is_control(token)]
    assert controls
    logits = np.zeros(size, np.float32)
    (quote,) = tokenizer.plain('"')
    grammar.accept(quote)
    logits[controls] = 50.0

    chosen = grammar.choose(logits)

    assert chosen is not None
    assert chosen not in controls
    assert not grammar.may_end()


def test_nothing_is_chosen_of_numbers_that_are_none(resident: Resident, grammar: Grammar) -> None:
    assert grammar.choose(np.full(resident.model.vocab_tokens, np.nan, np.float32)) is None


def test_llama_cpp_is_given_what_it_takes() -> None:
    """The layout of a candidate is that of the bindings."""
    from app.engine.worker.grammar import _CANDIDATE  # noqa: PLC0415

    fields = dict(llama_cpp.llama_token_data._fields_)
    assert list(_CANDIDATE.names or ()) == list(fields)
    assert _CANDIDATE.itemsize == __import__("ctypes").sizeof(llama_cpp.llama_token_data)


@pytest.mark.parametrize(
    ("schema", "text"), [({"type": "string", "maxLength": 40}, f'"{"1" * 40}"'), ({"type": "integer"}, "1")]
)
@pytest.mark.parametrize("end", ["<|vision_end|>", "<|im_end|>"])
def test_an_answer_ends_with_the_form_s_own_token_where_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, schema: object, text: str
) -> None:
    """The first of these is text to llama.cpp, whose vocabulary does not know it as an end."""
    resident = loaded("qwen2vl", tmp_path, template=end.join(QWEN_TEMPLATE.rsplit("<|im_end|>", 1)))
    (token,) = resident.tokenizer.form(end)
    assert resident.tokenizer.ends_generation(token)
    real = decode.decode

    def eager(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        """It would end anywhere; else it says ones, and closes a text."""
        for sequence, logits in real(model, entries):
            said = np.array(logits)
            said[token] = 50
            said[list(resident.tokenizer.plain("1"))] = 40
            said[list(resident.tokenizer.plain('"'))] = 30
            yield sequence, said

    monkeypatch.setattr(decode, "decode", eager)

    answer = run(resident, picture(0), [asked_for(schema, 60)])[0]

    assert (answer.status, answer.text) == (Status.OK, text)


def test_bytes_that_are_no_text_meet_no_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp takes four of them for one character; read leniently they would be more than the schema allows."""
    resident = loaded("qwen2vl", tmp_path)
    tokenizer = resident.tokenizer
    plain = (token for token in range(resident.model.vocab_tokens) if not tokenizer.is_special(token))
    single = {piece: token for token in plain if len(piece := tokenizer.piece(token)) == 1}
    due = [single[bytes([byte])] for byte in b'"\xf7\xf7\xf7\xf7"']
    due.append(tokenizer.form("<|im_end|>")[0])
    real = decode.decode

    def told(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        for sequence, logits in real(model, entries):
            said = np.zeros_like(logits)
            said[due.pop(0)] = 50
            yield sequence, said

    monkeypatch.setattr(decode, "decode", told)

    answer = run(resident, picture(0), [asked_for({"type": "string", "maxLength": 2}, 30)])[0]

    assert (answer.status, answer.reason) == (Status.FAILED, "schema_not_met")
    assert not due
