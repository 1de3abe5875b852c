"""Backtests on the console, over HTTP: the form, the run, the result, and the two doors that it leads to."""

import asyncio
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain import Outcome, StoredDecision
from app.policy.backtests import Run, RunState
from app.store import SqlArchive
from tests.http.rig import CONTRABAND, POLICY, Rig

HTML = "text/html,application/xhtml+xml"
NASTY = "<script>alert(1)</script>\"'&"
STRICT = POLICY.replace("reject: 0.9", "reject: 0.6")
#: Hangs on a probe that nobody asked then, where a listed word was found.
NEW_PROBE = POLICY.replace(
    "probes:\n", 'probes:\n  knives:\n    category: contraband\n    questions: {en: "Knives?"}\n'
).replace("keywords.contraband.count > 0", "{all: [keywords.contraband.count > 0, probes.knives.p > 0.5]}")
GOLDEN = Path(__file__).parent / "golden"


async def get(rig: Rig, path: str, status: int = 200) -> str:
    async with rig.client("policy", accept=HTML) as client:
        answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


async def send(rig: Rig, path: str = "/policy/backtests", **fields: Any) -> httpx.Response:
    """As a browser sends the form: multipart, with the lines of the text ended by CRLF."""
    policy = fields.pop("policy", POLICY).replace("\n", "\r\n")
    form = {"policy": policy, "base": rig.ruleset.current.policy_digest, "since": "7d", **fields}
    files = {name: (None, value) if isinstance(value, str) else ("p.yaml", value) for name, value in form.items()}
    async with rig.client("policy", accept=HTML) as client:
        return await client.post(path, files=files)


async def push(rig: Rig, path: str, **form: str) -> httpx.Response:
    async with rig.client("policy", accept=HTML) as client:
        return await client.post(path, data=form)


async def run(rig: Rig, **fields: Any) -> Run:
    """One that has ended."""
    answer = await send(rig, **fields)
    assert answer.status_code == 303, answer.text
    run = rig.backtests.find(answer.headers["location"].rsplit("/", 1)[1])
    assert run.task is not None
    await asyncio.wait([run.task])
    return run


def page_of(run: Run, *more: str) -> str:
    return "/".join((f"/policy/backtests/{run.id}", *more))


async def decisions(rig: Rig) -> list[str]:
    """A pass, a review and a reject for a word; the review's id first."""
    made = []
    for p in (0.7, 0.1):
        rig.p["violence"] = p
        made.append((await rig.decide())["id"])
    rig.reader.says("forged documents")
    return [*made, (await rig.decide())["id"]]


async def test_the_policy_page_has_the_form_with_the_policy_in_force(rig: Rig) -> None:
    shown = await get(rig, "/policy")
    assert POLICY.splitlines()[-1].strip() in shown.split("<textarea")[1].split("</textarea>")[0]
    assert f'name="base" value="{rig.ruleset.current.policy_digest}"' in shown
    assert (
        '<option value="thresholds.reject" selected>thresholds.reject = 0.9 (beside scores.violence)</option>' in shown
    )
    for name in ("policy", "policy-file", "threshold", "low", "high"):
        assert f'<label for="{name}">' in shown
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", shown)


async def test_a_result_says_what_the_command_says(rig: Rig) -> None:
    [flipped, *_] = await decisions(rig)
    done = await run(rig, policy=STRICT + f"# {NASTY}\n", threshold="thresholds.reject", low="0.5", high="1")
    shown = await get(rig, page_of(done))
    assert "<script>alert" not in shown
    assert "3, of which 3 could be decided again" in shown
    rows = re.findall(r'<th scope="row"><span class="key \w+".*?</span>(\w+)</th><td>(.*?)</td><td>(.*?)</td>', shown)
    assert rows == [("pass", "1", "1"), ("review", "1", "0"), ("reject", "1", "2")]
    assert "1 decision would have been made otherwise." in shown
    assert "1 review → reject" in shown
    assert f'href="/decisions/{flipped}"' in shown
    assert "too short a time" in shown
    assert "No reviewer has judged" in shown
    assert shown.count('class="curve ') == 6
    assert "the policy says 0.6" in shown
    assert "-thresholds: {review: 0.5, reject: 0.9}" in shown
    assert "<img" not in shown.split("<main")[1], "uploads are shown by the guarded component alone"
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", shown)


async def test_verdicts_are_measured_against(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    case_id = (await rig.decide())["case_id"]
    await rig.desk.claim("key-review", case_id)
    await rig.desk.decide(case_id, "key-review", Outcome.REJECT, None)
    shown = await get(rig, page_of(await run(rig, policy=POLICY.replace("review: 0.5", "review: 0.8"))))
    assert "Against 1 verdict of reviewers." in shown
    cells = re.findall(r'<th scope="row">(Precision|Recall)</th><td>(.*?)</td><td>(.*?)</td>', shown)
    assert cells == [("Precision", "100.00%", "nothing to measure"), ("Recall", "100.00%", "0.00%")]


async def test_what_was_never_asked_is_counted_apart_with_why(rig: Rig) -> None:
    await decisions(rig)
    shown = await get(rig, page_of(await run(rig, policy=NEW_PROBE)))
    assert "3, of which 2 could be decided again" in shown
    assert "1 decision: the outcome would hang on what was never asked of the picture" in shown
    [row] = re.findall(r"<code>(probes\S+)</code></th><td>(.*?)</td><td>(.*?)</td>", shown)
    assert row == ("probes.knives.p", "not put to the model then", "1")


async def test_an_empty_archive_is_said(rig: Rig) -> None:
    shown = await get(rig, page_of(await run(rig, policy=STRICT)))
    assert "No decision was stored in that time" in shown
    assert "Put it in force" in shown


async def test_mistakes_are_told_as_everywhere_and_the_edit_is_kept(rig: Rig) -> None:
    wrong = POLICY.replace("scores.violence >= thresholds.reject", f"scores.violance >= 1 # {NASTY}")
    answer = await send(rig, policy=wrong, since="1d", threshold="thresholds.review")
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert "scores.violance &gt;= 1" in answer.text.split("<textarea")[1]
    assert 'value="1d" checked' in answer.text
    assert '<option value="thresholds.review" selected>' in answer.text
    alert = answer.text.split('role="alert"')[1].split("</section>")[0]
    told = unescape(re.sub(r"<[^>]+>", "", alert.split(">", 1)[1].replace("</pre>", "\n")))
    assert [line for line in told.splitlines() if line.strip()] == (
        GOLDEN / "wrong_policy.txt"
    ).read_text().splitlines()
    assert rig.backtests.recent == ()


async def test_a_long_line_is_shown_around_its_mistake(rig: Rig) -> None:
    long = POLICY.replace(
        "when: keywords.contraband.count > 0", f"when: '{'1 == 1 && ' * 300}keywords.nothing.count > 0'"
    )
    answer = await send(rig, policy=long)
    assert answer.status_code == 422
    [shown] = re.findall(r"<pre>(.*?)\n", answer.text)
    assert len(unescape(shown)) == 160


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"since": "7y"}, "choose how far to go back"),
        ({"since": "day"}, "choose a day"),
        ({"since": "day", "day": "soon"}, "neither a span such as 7d nor a date"),
        ({"since": "day", "day": "9999-01-01"}, "still to come"),
        ({"threshold": "thresholds.rejekt"}, "did you mean `thresholds.reject`"),
        ({"threshold": "thresholds.reject", "low": "much"}, "from: must be a number"),
        ({"threshold": "thresholds.reject", "high": "1e999"}, "between two numbers"),
    ],
)
async def test_a_bad_field_is_said_on_the_form(rig: Rig, fields: dict[str, str], said: str) -> None:
    answer = await send(rig, policy=STRICT, **fields)
    assert answer.status_code == 400
    assert said in answer.text
    assert "reject: 0.6" in answer.text.split("<textarea")[1], "the edit is kept"


async def test_a_day_and_a_file_count(rig: Rig) -> None:
    await decisions(rig)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d")
    done = await run(rig, policy="version: 2", file=STRICT.encode(), since="day", day=yesterday)
    assert (done.text, done.asked.since.strftime("%Y-%m-%d")) == (STRICT, yesterday)
    assert done.report is not None
    assert done.report.flips == 1
    bad = await send(rig, file=b"version: \xff")
    assert bad.status_code == 422
    assert "UTF-8" in bad.text


async def test_the_text_field_does_not_change_the_policy(rig: Rig) -> None:
    done = await run(rig)
    assert done.policy_digest == rig.ruleset.current.policy_digest
    shown = await get(rig, page_of(done))
    assert "The text of the policy in force." in shown
    assert "Put it in force" not in shown


@pytest.mark.parametrize(
    ("request_of", "status"),
    [({"data": {"policy": POLICY}}, 415), ({"files": {"policy": (None, "x" * (2 * 1024 * 1024 + 1))}}, 400)],
)
async def test_what_is_no_such_form_is_refused(rig: Rig, request_of: dict[str, Any], status: int) -> None:
    async with rig.client("policy", accept=HTML) as client:
        assert (await client.post("/policy/backtests", **request_of)).status_code == status


async def _never(*_: Any, **__: Any) -> AsyncGenerator[list[StoredDecision]]:
    await asyncio.Event().wait()
    yield []


async def test_a_run_is_followed_and_called_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await decisions(rig)
    monkeypatch.setattr(SqlArchive, "pages", _never)
    answer = await send(rig, policy=STRICT)
    path = answer.headers["location"]
    async with rig.client("policy") as client:
        while (said := (await client.get(f"{path}/progress")).json())["total"] is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # what a browser does
    assert said == {"state": "running", "cancelling": False, "done": 0, "total": 3}
    shown = await get(rig, path)
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in shown
    assert '<progress aria-label="Decisions decided again" max="3" value="0">' in shown
    assert "Put it in force" not in shown

    busy = await send(rig, policy=STRICT)
    assert busy.status_code == 429
    assert f'<a href="{path}">See the one that is running.</a>' in busy.text
    assert (await push(rig, f"{path}/again", threshold="thresholds.reject")).status_code == 429

    off = await push(rig, f"{path}/cancel")
    assert (off.status_code, off.headers["location"]) == (303, path)
    shown = await get(rig, path)
    assert "Called off" in shown
    assert "refresh" not in shown
    assert "Put it in force" not in shown


async def test_a_fault_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(archive: SqlArchive, *, since: datetime) -> int:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(SqlArchive, "count", broken)
    done = await run(rig, policy=STRICT)
    assert done.state is RunState.FAILED
    shown = await get(rig, page_of(done))
    assert "internal_error" in shown
    assert "secret detail" not in shown


async def test_another_threshold_is_drawn(rig: Rig) -> None:
    await decisions(rig)
    first = await run(rig, policy=STRICT)
    assert "Draw it" in await get(rig, page_of(first))
    answer = await push(rig, page_of(first, "again"), threshold="thresholds.review")
    second = rig.backtests.find(answer.headers["location"].rsplit("/", 1)[1])
    assert second.task is not None
    await asyncio.wait([second.task])
    assert (second.text, second.asked.since, second.asked.base) == (first.text, first.asked.since, first.asked.base)
    assert "Draw another" in await get(rig, page_of(second))
    assert (await push(rig, page_of(first, "again"), threshold="thresholds.nothing")).status_code == 400


async def test_what_was_tried_is_put_in_force(rig: Rig) -> None:
    done = await run(rig, policy=STRICT)
    answer = await push(rig, page_of(done, "activate"), why="knives")
    assert (answer.status_code, answer.headers["location"]) == (303, "/policy?notice=put")
    assert rig.ruleset.current.source == STRICT
    assert "The policy is in force." in await get(rig, "/policy?notice=put")
    [activated] = await rig.events()
    assert (activated["body"]["why"], activated["body"]["forced"], activated["actor"]) == (
        "knives",
        False,
        "key-policy",
    )
    assert (await push(rig, page_of(done, "activate"), why="x" * 501)).status_code == 400


async def test_nobody_elses_edit_is_lost(rig: Rig) -> None:
    done = await run(rig, policy=STRICT)
    theirs = POLICY.replace("review: 0.5", "review: 0.4")
    await rig.ruleset.put(theirs.encode(), expected=None, author="key-x", why=None)
    assert "Another policy is in force" in await get(rig, page_of(done))
    answer = await push(rig, page_of(done, "activate"), why=NASTY)
    assert answer.status_code == 412
    assert "+thresholds: {review: 0.4, reject: 0.9}" in answer.text
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text, "what was written is kept"
    assert rig.ruleset.current.source == theirs

    link = re.search(r'href="(/policy/backtests\?again=[^"]+)">Edit it on top', answer.text)
    assert link is not None
    form = await get(rig, link[1].replace("&amp;", "&"))
    assert "reject: 0.6" in form.split("<textarea")[1]
    assert f'name="base" value="{rig.ruleset.current.policy_digest}"' in form
    plain = await get(rig, f"/policy/backtests?again={done.id}")
    assert f'name="base" value="{done.asked.base}"' in plain, "without a look at the difference, the guard stays"


async def test_failing_tests_are_named_and_can_be_overruled(rig: Rig) -> None:
    tests = "cases:\n  - name: a fight is looked at\n    given: {probes.violence.p: 0.7}\n    expect: review\n"
    rig.policy_path.with_name("policies.test.yaml").write_text(tests)
    done = await run(rig, policy=STRICT)
    assert "against its tests" not in await get(rig, page_of(done))
    answer = await push(rig, page_of(done, "activate"))
    assert answer.status_code == 422
    assert "policies.test.yaml:" in answer.text
    assert "against its tests; that is recorded" in answer.text
    assert rig.ruleset.current.source == POLICY
    assert (await push(rig, page_of(done, "activate"), force="yes")).headers["location"] == "/policy?notice=put"
    assert [event["body"]["forced"] for event in await rig.events()] == [True]


async def test_it_is_tried_in_shadow(rig: Rig) -> None:
    done = await run(rig, policy=STRICT)
    answer = await push(rig, page_of(done, "shadow"), why="a week")
    assert answer.headers["location"] == "/policy?notice=tried"
    entry = rig.shadow.status.entry
    assert entry is not None
    assert (entry.policy, entry.change.why, entry.change.author) == (STRICT, "a week", "key-policy")
    assert rig.ruleset.current.source == POLICY
    assert "tried beside the live one" in await get(rig, "/policy?notice=tried")


async def test_lists_that_changed_since_are_named(rig: Rig) -> None:
    done = await run(rig, policy=STRICT)
    (rig.policy_path.parent / "rules" / "contraband.txt").write_text(CONTRABAND + "another word\n")
    assert await rig.ruleset.reload()
    assert "<code>contraband</code>" in (await get(rig, page_of(done))).split("Lists that have changed")[1]


async def test_the_last_runs_are_listed_and_others_are_not_there(rig: Rig) -> None:
    done = await run(rig, policy=STRICT)
    shown = await get(rig, "/policy")
    assert f'href="{page_of(done)}"' in shown
    assert "0 of 0 otherwise" in shown
    gone = await get(rig, "/policy/backtests/backtest_0", 404)
    assert "Back to the policy" in gone
    assert "kept until it restarts" in gone
    await get(rig, "/policy/backtests?again=backtest_0", 404)


async def test_who_is_logged_out_comes_back_to_the_page(rig: Rig) -> None:
    async with rig.client(None, accept=HTML) as client:
        for path in ("/policy/backtests/backtest_1/activate", "/policy/backtests/backtest_1"):
            answer = await client.post(path)
            assert answer.headers.get("location") in ("/login?next=/policy/backtests/backtest_1", None)
        answer = await client.post("/policy/backtests", files={"policy": (None, POLICY)})
    assert answer.headers["location"] == "/login?next=/policy/backtests"


async def test_a_long_comparison_is_left_out_and_said_so(rig: Rig) -> None:
    """Two texts with nothing in common but short lines, again and again, would take seconds to compare."""
    lines = {seed: "".join(f"# {at * seed % 131}\n" for at in range(5_000)) for seed in (7, 40)}
    made = await run(rig, policy=POLICY + lines[7])
    await rig.ruleset.put((POLICY + lines[40]).encode(), expected=None, author="key", why=None)
    page = await get(rig, f"/policy/backtests/{made.id}")
    assert "too much changed to be shown" in page
    assert "# 7" not in page
