"""The console as people use it: a real browser, a real server."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Page, expect

from app.domain import EngineState
from tests.http.rig import POLICY, Rig, picture
from tests.web.conftest import Console

LINES = ("We sell forged documents", "代办各种文凭 办假证 加微信", "delivered in a day")


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "upload.png"
    path.write_bytes(picture(text=LINES[0]))
    return path


async def shoot(page: Page, folder: Path | None, name: str) -> None:
    """Desktop and phone, light and dark; and nothing may stick out sideways."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        for device, width in (("desktop", 1280), ("phone", 375)):
            await page.set_viewport_size({"width": width, "height": 900})
            sideways = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert sideways <= 0, f"{name} is {sideways} px wider than a {device}"
            if folder is not None:
                await page.screenshot(path=folder / f"{name}-{device}-{scheme}.png", full_page=True)
    await page.set_viewport_size({"width": 1280, "height": 900})


async def moderate(console: Console, upload: Path, caption: str = "") -> None:
    await console.page.goto(console.url)
    await console.page.get_by_label("Choose a picture").set_input_files(upload)
    await console.page.get_by_label("Caption").fill(caption)
    await console.page.get_by_role("button", name="Moderate").click()
    await console.page.wait_for_url("**/decisions/dec_*")


async def viewed(rig: Rig) -> int:
    return [event["kind"] for event in await rig.events()].count("evidence.viewed")


async def test_a_picture_goes_in_and_its_decision_comes_out(
    console: Console, upload: Path, screenshots: Path | None
) -> None:
    page, rig = console.page, console.rig
    rig.reader.says(*LINES)
    rig.p["violence"] = 0.34
    await page.goto(console.url)
    await expect(page).to_have_url(re.compile("/login"))
    await shoot(page, screenshots, "login")
    await console.log_in()
    await shoot(page, screenshots, "upload")
    await moderate(console, upload, "Buy forged documents & <b>more</b>")
    await expect(page.get_by_role("heading", level=1)).to_have_text("reject")
    await expect(page.get_by_text("The text offers forbidden goods.")).to_be_visible()
    marks = page.locator(".lines mark")
    assert await marks.all_inner_texts() == ["forged documents", "办假证", "forged documents"]
    await expect(page.locator(".boxes polygon.read")).to_have_count(3)
    await expect(page.locator(".boxes polygon.hit")).to_have_count(2)
    await expect(page.locator("details", has_text="contraband-for-sale").locator(".condition")).to_be_visible()
    await expect(page.get_by_text("<b>more</b>")).to_be_visible()
    address = page.url
    await page.reload()
    assert page.url == address
    assert len((await rig.decisions.page(limit=10))[0]) == 1
    await shoot(page, screenshots, "decision")


async def test_matches_and_codes_are_marked_on_the_picture(
    console: Console, tmp_path: Path, screenshots: Path | None
) -> None:
    page, rig = console.page, console.rig
    image = Image.open(io.BytesIO(picture(text=LINES[0]))).convert("RGB")
    code = zxingcpp.create_barcode("https://shop.test/?q=%E5%8A%9E%E5%81%87%E8%AF%81", zxingcpp.BarcodeFormat.QRCode)
    image.paste(Image.fromarray(np.array(code.to_image(scale=4))), (420, 200))
    image.save(tmp_path / "code.png")
    rig.reader.says(*LINES)
    await console.log_in()
    await moderate(console, tmp_path / "code.png")
    await expect(page.locator(".boxes polygon.read")).to_have_count(3)
    await expect(page.locator(".boxes polygon.code")).to_have_count(1)
    titles = await page.locator(".boxes polygon.hit title").all_text_contents()
    assert [title.split(" · ")[:2] for title in titles] == [
        ["forged documents", "contraband"],
        ["办假证", "contraband"],
        ["办假证", "contraband"],
    ]
    line = await page.locator(".boxes polygon.read").first.bounding_box()
    hit = await page.locator(".boxes polygon.hit").first.bounding_box()
    assert line is not None
    assert hit is not None
    assert line["x"] < hit["x"] < hit["x"] + hit["width"] <= line["x"] + line["width"] + 2
    assert hit["width"] < 0.8 * line["width"]
    await expect(page.get_by_role("heading", name="QR and bar codes")).to_be_visible()
    await expect(page.get_by_text("https://shop.test/?q=办假证")).to_be_visible()
    await page.get_by_role("button", name="Reveal picture").click()
    await expect(page.locator("img.original")).to_be_visible()
    await shoot(page, screenshots, "codes")


async def test_the_picture_is_covered_until_it_is_revealed(
    console: Console, upload: Path, screenshots: Path | None
) -> None:
    page, rig = console.page, console.rig
    rig.reader.says(*LINES)
    await console.log_in()
    await moderate(console, upload)
    preview, original = page.locator("img.preview"), page.locator("img.original")
    assert "blur" in await preview.evaluate("image => getComputedStyle(image).filter")
    assert await preview.evaluate("image => image.naturalWidth") > 0
    await expect(original).to_have_count(0)
    assert await viewed(rig) == 0

    await page.get_by_role("button", name="Reveal picture").press("Enter")
    await expect(original).to_be_visible()
    assert await original.evaluate("image => image.naturalWidth") == 640
    assert await viewed(rig) == 1
    where = [await one.bounding_box() for one in (original, preview, page.locator("svg.boxes"))]
    assert where[0] == where[1] == where[2]
    await shoot(page, screenshots, "revealed")

    await page.get_by_role("button", name="Hide picture").press("Enter")
    await expect(original).to_have_count(0)
    await page.get_by_label("Text boxes").uncheck()
    await expect(page.locator("svg.boxes polygon").first).to_be_hidden()

    await rig.evidence.delete((await rig.decisions.page(limit=1))[0][0].image.sha256)
    await page.get_by_role("button", name="Reveal picture").click()
    await expect(page.get_by_role("status").filter(has_text="no longer")).to_be_visible()
    await expect(original).to_have_count(0)


async def test_a_picture_can_be_dropped(console: Console) -> None:
    page = console.page
    await console.log_in()
    transfer = await page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
            return transfer;
        }""",
        list(picture()),
    )
    await page.dispatch_event("[data-drop]", "drop", {"dataTransfer": transfer})
    await expect(page.locator("[data-chosen]")).to_contain_text("dropped.png")
    await page.get_by_role("button", name="Moderate").click()
    await page.wait_for_url("**/decisions/dec_*")
    await expect(page.get_by_role("heading", level=1)).to_have_text("pass")


async def test_a_case_is_worked_with_the_keyboard(console: Console, upload: Path, screenshots: Path | None) -> None:
    page, rig = console.page, console.rig
    await console.log_in()
    await page.goto(f"{console.url}/review")
    await expect(page.get_by_text("No open cases.")).to_be_visible()
    await shoot(page, screenshots, "queue-empty")

    rig.p["violence"] = 0.7
    rig.reader.says(*LINES[2:])
    for _ in range(3):
        await rig.decide()
    await page.goto(f"{console.url}/review")
    await expect(page.locator("table.queue tbody tr")).to_have_count(3)
    await shoot(page, screenshots, "queue")
    await page.get_by_role("button", name="Claim the next case").press("Enter")
    await page.wait_for_url("**/review/case_*")
    await expect(page.locator("[data-lease-s]")).to_contain_text(re.compile(r"Yours for 1[45]:\d\d"))
    await expect(page.locator("img.original")).to_have_count(0)
    await page.get_by_label("Note").fill("two people fighting")
    await page.get_by_role("button", name="Renew").press("Enter")
    await page.wait_for_load_state()
    await expect(page.get_by_label("Note")).to_have_value("two people fighting")
    await shoot(page, screenshots, "case")
    case_id = page.url.rsplit("/", 1)[1]
    await page.get_by_role("button", name="Reject").press("Enter")
    await page.wait_for_url("**/review?notice=reject")
    await expect(page.get_by_role("status")).to_have_text("Verdict recorded: reject.")
    await expect(page.get_by_role("button", name="Claim the next case")).to_be_focused()
    verdict = (await rig.desk.get(case_id)).verdict
    assert verdict is not None
    assert (verdict.outcome, verdict.note, verdict.reviewer) == ("reject", "two people fighting", "key-admin")
    await page.get_by_role("link", name="decided").click()
    await expect(page.locator("table.queue tbody tr")).to_have_count(1)


async def test_a_note_outlives_a_session_that_ended(console: Console) -> None:
    page, rig = console.page, console.rig
    rig.p["violence"] = 0.7
    case_id = (await rig.decide())["case_id"]
    await console.log_in()
    await rig.desk.claim("key-admin", case_id)
    await page.goto(f"{console.url}/review/{case_id}")
    await page.get_by_label("Note").fill("two people fighting")
    await console.context.clear_cookies()
    await page.get_by_role("button", name="Reject").click()
    await page.wait_for_url("**/login**")
    await page.get_by_label("Key").fill(rig.keys.tokens["admin"])
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(f"**/review/{case_id}")
    await expect(page.get_by_label("Note")).to_have_value("two people fighting")
    await page.get_by_role("button", name="Reject").click()
    await page.wait_for_url("**/review?notice=reject")
    verdict = (await rig.desk.get(case_id)).verdict
    assert verdict is not None
    assert verdict.note == "two people fighting"
    assert await page.evaluate("sessionStorage.length") == 0


async def test_a_lost_lease_is_told_kindly(console: Console, screenshots: Path | None) -> None:
    page, rig = console.page, console.rig
    rig.p["violence"] = 0.7
    case_id = (await rig.decide())["case_id"]
    await console.log_in()
    await rig.desk.claim("key-admin", case_id)
    await page.goto(f"{console.url}/review/{case_id}")
    await rig.desk.release(case_id, "key-admin")
    await rig.desk.claim("key-review-2", case_id)
    await page.get_by_role("button", name="Pass").click()
    await expect(page.get_by_text("lease_lost")).to_be_visible()
    await expect(page.get_by_text("another reviewer has it")).to_be_visible()
    await shoot(page, screenshots, "problem")
    await page.get_by_role("link", name="Back to the queue").click()
    await expect(page.get_by_role("heading", name="Review queue")).to_be_visible()


async def test_what_is_wrong_with_the_service_is_on_every_page(console: Console, screenshots: Path | None) -> None:
    page, rig = console.page, console.rig
    await console.log_in()
    await expect(page.locator(".banner")).to_have_count(0)
    rig.engine_is(demonstration=True, state=EngineState.RESTARTING, detail="the engine process died")
    rig.policy_path.write_text(POLICY.replace("scores.violence >= thresholds.review", "scores.violance >= 1"))
    await rig.ruleset.reload()
    for path in ("/", "/review"):
        await page.goto(console.url + path)
        await expect(page.get_by_text("Demonstration model.")).to_be_visible()
        await expect(page.get_by_text("the engine process died")).to_be_visible()
        await expect(page.locator(".banner pre")).to_contain_text("violance")
    await shoot(page, screenshots, "banners")
    (rig.policy_path).write_text(POLICY)


async def test_the_console_works_without_scripts(console: Console, upload: Path) -> None:
    rig = console.rig
    browser = console.context.browser
    assert browser is not None
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    plain = Console(rig, console.url, context, page, [], [])
    await plain.log_in()
    rig.p["violence"] = 0.7
    await page.get_by_label("Choose a picture").set_input_files(upload)
    await page.get_by_role("button", name="Moderate").click()
    await page.wait_for_url("**/decisions/dec_*")
    await expect(page.get_by_role("link", name="Open the original")).to_be_visible()
    await expect(page.get_by_role("button", name="Reveal picture")).to_be_hidden()
    await page.get_by_role("link", name="Open the review case").click()
    await page.get_by_role("button", name="Claim").click()
    await page.get_by_role("button", name="Pass").click()
    await expect(page.get_by_role("status")).to_have_text("Verdict recorded: pass.")
    await context.close()
