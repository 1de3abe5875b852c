"""The import contracts speak of every part of `app/`: a new package or module cannot slip past them."""

import pkgutil
import tomllib
from typing import Any

import app
from tests.house.tree import ROOT

#: May import anything.
_COMPOSITION = {"app.main", "app.cli", "app.service"}


def contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def top_level() -> set[str]:
    return {f"app.{module.name}" for module in pkgutil.iter_modules(app.__path__)}


def test_every_part_is_held_by_a_contract() -> None:
    held = {name for contract in contracts() for key in ("source_modules", "modules") for name in contract.get(key, [])}
    assert top_level() - _COMPOSITION - held == set()


def test_every_contract_names_parts_that_exist() -> None:
    names = {
        name
        for contract in contracts()
        for key in ("source_modules", "modules", "forbidden_modules")
        for name in contract.get(key, [])
        if name.startswith("app.")
    }
    missing = [name for name in names if not (ROOT / name.replace(".", "/")).is_dir() and not _module(name)]
    assert missing == []


def _module(name: str) -> bool:
    return (ROOT / (name.replace(".", "/") + ".py")).is_file()
