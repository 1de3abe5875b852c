"""A backtest as a policy owner makes one: a real browser, a real server, with scripts and without."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from app.domain import Span, StoredDecision
from app.store import SqlArchive
from tests.http.rig import POLICY, Rig
from tests.web.conftest import Console
from tests.web.test_backtests import NEW_PROBE, STRICT
from tests.web.test_browser import shoot


async def decided(rig: Rig) -> None:
    for p, said in ((0.7, "bread"), (0.1, "bread"), (0.1, "forged documents")):
        rig.p["violence"] = p
        rig.reader.says(said)
        await rig.decide()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Until it is set, no decision is read."""
    go, pages = asyncio.Event(), SqlArchive.pages

    async def held(archive: SqlArchive, span: Span, *, rows: int, models: bool) -> AsyncGenerator[list[StoredDecision]]:
        await go.wait()
        async for page in pages(archive, span, rows=rows, models=models):
            yield page

    monkeypatch.setattr(SqlArchive, "pages", held)
    return go


async def open_form(console: Console, policy: str) -> Page:
    page = console.page
    await page.goto(f"{console.url}/policy")
    await page.get_by_label("Policy", exact=True).fill(policy)
    return page


async def test_an_edit_is_tried_mended_and_put_in_force(
    console: Console, gate: asyncio.Event, screenshots: Path | None
) -> None:
    await decided(console.rig)
    await console.log_in()
    page = await open_form(console, STRICT.replace("scores.violence >= thresholds.reject", "scores.violance >= 1"))
    await shoot(page, screenshots, "backtest-form")
    await page.get_by_role("button", name="Run the backtest").press("Enter")
    alert = page.get_by_role("alert")
    await expect(alert).to_be_focused()
    await expect(alert.locator("pre")).to_contain_text("scores.violance >= 1")
    await shoot(page, screenshots, "backtest-wrong")

    await page.get_by_label("Policy", exact=True).fill(STRICT)
    await page.get_by_label("30 days").check()
    await page.get_by_label("Threshold to draw").select_option("thresholds.reject")
    await page.get_by_role("button", name="Run the backtest").click()
    await page.wait_for_url("**/policy/backtests/backtest_*")
    await expect(page.get_by_role("status")).to_have_text("0 of 3 decisions.")
    await shoot(page, screenshots, "backtest-running")
    gate.set()
    await expect(page.get_by_role("heading", name="Decided again", exact=True)).to_be_visible()
    await expect(page.get_by_text("1 decision would have been made otherwise.")).to_be_visible()
    curves = page.locator("svg polyline")
    await expect(curves).to_have_count(3)
    assert {await curves.nth(at).evaluate("line => getComputedStyle(line).stroke") for at in range(3)}.isdisjoint(
        {"none", "rgb(0, 0, 0)"}
    )
    assert (
        len({await curves.nth(at).evaluate("line => getComputedStyle(line).strokeDasharray") for at in range(3)}) == 3
    )
    await page.get_by_text("The numbers").click()
    await shoot(page, screenshots, "backtest-result")

    await page.locator(".flips a").first.click()
    await page.wait_for_url("**/decisions/dec_*")
    await expect(page.locator("img.preview")).to_be_visible()
    await page.go_back()
    await page.get_by_label("Why").last.fill("fights")
    await page.get_by_role("button", name="Put it in force").press("Enter")
    await page.wait_for_url("**/policy?notice=put")
    assert console.rig.ruleset.current.source == STRICT


async def test_a_run_is_called_off_on_its_page(console: Console, gate: asyncio.Event) -> None:
    await decided(console.rig)
    await console.log_in()
    page = await open_form(console, STRICT)
    await page.get_by_role("button", name="Run the backtest").click()
    await page.get_by_role("button", name="Cancel").press("Enter")
    await expect(page.get_by_role("heading", name="Called off")).to_be_visible()
    assert not gate.is_set()


async def test_a_file_can_be_edited_before_it_is_tried(console: Console, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(STRICT)
    (tmp_path / "odd.yaml").write_bytes(b"\xff\xfe")
    await console.log_in()
    page = await open_form(console, "")
    await page.get_by_label("Or a file").set_input_files(tmp_path / "new.yaml")
    await expect(page.get_by_text("new.yaml is in the text field above.")).to_be_visible()
    await expect(page.get_by_label("Policy", exact=True)).to_have_value(STRICT)
    await page.get_by_label("Since which day").fill("2026-01-01")
    await expect(page.get_by_label("since", exact=True)).to_be_checked()
    await page.get_by_label("Or a file").set_input_files(tmp_path / "odd.yaml")
    await expect(page.get_by_text("odd.yaml is not UTF-8.")).to_be_visible()
    await page.get_by_role("button", name="Run the backtest").click()
    await expect(page.get_by_role("alert")).to_contain_text("UTF-8")
    await expect(page.get_by_label("Policy", exact=True)).to_have_value("\ufffd\ufffd")


async def test_an_edit_outlives_a_session_that_ended(console: Console) -> None:
    await console.log_in()
    page = await open_form(console, STRICT)
    await console.context.clear_cookies()
    await page.get_by_role("button", name="Run the backtest").click()
    await page.wait_for_url("**/login**")
    await page.get_by_label("Key").fill(console.rig.keys.tokens["admin"])
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url("**/policy/backtests")
    await expect(page.get_by_label("Policy", exact=True)).to_have_value(STRICT)
    await page.get_by_role("button", name="Run the backtest").click()
    await page.wait_for_url("**/policy/backtests/backtest_*")
    await page.goto(f"{console.url}/policy")
    await expect(page.get_by_label("Policy", exact=True)).to_have_value(POLICY)


async def test_it_works_without_scripts(console: Console, gate: asyncio.Event, tmp_path: Path) -> None:
    await decided(console.rig)
    (tmp_path / "new.yaml").write_text(NEW_PROBE)
    browser = console.context.browser
    assert browser is not None
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await Console(console.rig, console.url, context, page, [], []).log_in()
    await page.goto(f"{console.url}/policy")
    await page.get_by_label("Or a file").set_input_files(tmp_path / "new.yaml")
    await page.get_by_role("button", name="Run the backtest").click()
    await expect(page.get_by_role("heading", name="Deciding again")).to_be_visible()
    gate.set()
    await expect(page.get_by_role("heading", name="Not decided again")).to_be_visible()
    await expect(page.get_by_role("row", name="probes.knives.p")).to_contain_text("not put to the model then")
    await page.get_by_role("button", name="Try it in shadow").click()
    await page.wait_for_url("**/policy?notice=tried")
    await expect(page.get_by_role("status").first).to_contain_text("tried beside the live one")
    await context.close()
