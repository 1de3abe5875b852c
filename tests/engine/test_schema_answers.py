"""A generated answer that is held to a schema, through the engine process."""

import json

from app.domain import Question, QuestionKind, Status
from app.engine.local import LocalEngine
from tests.engine.jobs import all_answers, caption, job, probes

READING = {
    "type": "object",
    "properties": {
        "lines": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 3},
        "legible": {"type": "boolean"},
    },
    "required": ["lines", "legible"],
}


async def test_it_parses_and_meets_the_schema_beside_plain_questions(shared_engine: LocalEngine) -> None:
    held = Question("held", QuestionKind.GENERATE, "Read all text.", 300, json_schema=json.dumps(READING))

    answers = await all_answers(shared_engine.ask(job([*probes(), held, caption()])))

    by_id = {answer.question_id: answer for answer in answers}
    assert {answer.status for answer in answers} == {Status.OK}
    found = json.loads(by_id["held"].text or "")
    assert list(found) == ["lines", "legible"]
    assert all(isinstance(line, str) and len(line) <= 20 for line in found["lines"])
    assert isinstance(found["legible"], bool)


async def test_a_job_of_nothing_but_mistakes_ends_without_the_process(shared_engine: LocalEngine) -> None:
    wrong = Question("held", QuestionKind.GENERATE, "Read all text.", 30, json_schema='{"type": "date"}')

    answers = await all_answers(shared_engine.ask(job([wrong, wrong])))

    assert [answer.reason for answer in answers] == ["schema_unsupported"] * 2
    assert shared_engine.info.queue_depth == 0
