"""The console in a real browser, in front of a real server."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.http.conftest import rig, sqlite
from tests.http.rig import Rig

__all__ = ["rig", "sqlite"]

#: No sandbox as root in a container; the rest keeps the browser from asking the network anything of its own.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    reason = "NO BROWSER: the console's pages are not tested. apt-get install chromium"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Console:
    """A browser window on a served rig, logged in as the admin."""

    rig: Rig
    url: str
    context: BrowserContext
    page: Page
    #: What the browser complained of: errors in scripts, and what the content security policy refused.
    complaints: list[str]
    #: Requests to anything but the server.
    foreign: list[str]

    async def log_in(self, key: str = "admin") -> None:
        await self.page.goto(f"{self.url}/login")
        await self.page.get_by_label("Key").fill(self.rig.keys.tokens[key])
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_url(lambda url: "/login" not in url)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    executable = _chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def served(rig: Rig) -> AsyncIterator[str]:
    config = uvicorn.Config(rig.app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait for
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    server.force_exit = True
    await task


@pytest.fixture
async def console(rig: Rig, served: str, browser: Browser) -> AsyncIterator[Console]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = await context.new_page()
    complaints: list[str] = []
    foreign: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: None if _is_ours(request.url, served) else foreign.append(request.url))
    page.set_default_timeout(15_000)
    yield Console(rig, served, context, page, complaints, foreign)
    assert complaints == []
    assert foreign == []
    await context.close()


def _is_ours(url: str, served: str) -> bool:
    return url.startswith((served, f"blob:{served}"))


@pytest.fixture
def screenshots() -> Path | None:
    """Where to leave pictures of the pages for people to look at, if they asked (SCREENSHOTS)."""
    folder = os.environ.get("SCREENSHOTS")
    return Path(folder) if folder else None
