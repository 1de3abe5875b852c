"""Edits without end over HTTP, every tenth broken, while uploads are answered: none is lost, and each is what the
version says that it pins. At full length it is a benchmark: `python -m benchmarks.policy.churn`."""

import asyncio

from app.domain import Decision
from app.policy.evaluate import evaluate
from app.policy.versions import rebuild
from app.store import SqlRulesets
from tests.http.rig import POLICY, Rig, picture

_EDITS = 30


def policy(number: int) -> str:
    """Whether 0.5 is rejected or passes changes with each edit."""
    return POLICY.replace("{review: 0.5, reject: 0.9}", f"{{review: 0.6, reject: {0.9 if number % 2 else 0.3}}}") + (
        f"# {number}\n"
    )


async def test_no_upload_is_lost_and_each_is_what_its_version_says(rig: Rig) -> None:
    rig.p["violence"] = 0.5
    answers: list[Decision] = []
    editing = True

    async def upload() -> None:
        async with rig.client("moderate") as client:
            while editing:
                answer = await client.post("/v1/moderate", files={"file": ("a.png", picture(32, 32))})
                assert answer.status_code == 200, answer.text
                answers.append(Decision.model_validate_json(answer.content))

    async with asyncio.TaskGroup() as group, rig.client("policy") as editor:
        for _ in range(2):
            group.create_task(upload())
        await rig.shadow.put(policy(1).encode(), author="key", why=None)
        for number in range(1, _EDITS + 1):
            tag = (await editor.get("/v1/policy")).headers["etag"]
            text = "rules: [oops" if number % 10 == 0 else policy(number)
            answer = await editor.put("/v1/policy", content=text, headers={"If-Match": tag})
            assert answer.status_code == (422 if number % 10 == 0 else 200), answer.text
            seen = len(answers)
            async with asyncio.timeout(60):
                while len(answers) == seen:  # noqa: ASYNC110 - counted where the answers come in
                    await asyncio.sleep(0.005)
        editing = False
    await rig.comparing.drain()

    rulesets = SqlRulesets(rig.database)
    versions = {pin: rebuild(await rulesets.find(pin)) for pin in {answer.pins.ruleset for answer in answers}}
    assert len(versions) > _EDITS / 2
    assert {answer.outcome.value for answer in answers} >= {"pass", "reject"}
    for made in answers:
        record = await rig.decisions.find_record(made.id)
        assert record.decision == made
        said = evaluate(versions[made.pins.ruleset], record.findings, record.context, model_digest=made.pins.model)
        assert (said.outcome, said.degraded, said.violations, said.scores, said.rules) == (
            made.outcome,
            made.degraded,
            made.violations,
            made.scores,
            made.rules,
        )
