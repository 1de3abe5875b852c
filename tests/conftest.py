"""What holds for every test: asyncio, a clean environment, reproducible generated cases."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.workers import turn, workers_here

#: Where Debian, Ubuntu and Fedora put Noto Sans CJK.
_CJK_FONTS = (
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc"),
)

_PREFIX = "PORTCULLIS_"

# Wall-clock health checks measure the machine, not the code.
settings.register_profile("local", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def _ours() -> list[str]:
    return [name for name in os.environ if name.upper().startswith(_PREFIX)]


def pytest_configure() -> None:
    """Modules and session fixtures read the environment before the first test does."""
    for name in _ours():
        del os.environ[name]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means here."""
    return workers_here()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        items.sort(key=lambda item: turn(item.nodeid))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell, nor of an earlier test, reaches this one."""
    for name in _ours():
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """A test that sets logging up, as every command of the service does, sets it up for itself alone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = [one for one in root.handlers if one in handlers or type(one).__module__.startswith("_pytest.")]
    root.setLevel(level)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def cjk_font() -> Path:
    """A font file with Chinese glyphs (for English, Pillow's own default font does)."""
    for path in _CJK_FONTS:
        if path.is_file():
            return path
    reason = "no font with Chinese glyphs: apt-get install fonts-noto-cjk"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
