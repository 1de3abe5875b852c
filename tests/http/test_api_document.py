"""`docs/api.md` names every endpoint and every code."""

import re
from pathlib import Path

from app.errors import PortcullisError
from app.http.problems import STATUS
from tests.http.rig import Rig
from tests.http.test_problems import leaves

DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def test_every_code_stands_under_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ([^|]+) \|", DOCUMENT, re.MULTILINE)
    documented = {(int(status), code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    ours = {(STATUS[leaf], leaf.code) for leaf in leaves(PortcullisError)}
    assert ours - documented == set()
    framework = {
        (405, "method_not_allowed"),
        (408, "request_timeout"),
        (413, "request_too_large"),
        (415, "unsupported_media_type"),
        (500, "internal_error"),
    }
    assert documented == ours | framework


async def test_every_endpoint_is_named(rig: Rig) -> None:
    async with rig.client(None) as client:
        paths = (await client.get("/schema/openapi.json")).json()["paths"]
    for path, operations in paths.items():
        for method in operations:
            named = f"{method.upper()} {re.sub(r'{[a-z_]+}', '{id}', path)}"
            assert f"`{named}`" in DOCUMENT, named
