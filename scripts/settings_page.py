"""Writes `docs/settings.md` from `app/settings.py`: `python -m scripts.settings_page`."""

import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"

_HEAD = """\
# Settings

Everything is set by environment variables, read once at start. `make docs` writes this page from `app/settings.py`.
Relative paths start where the service is started; defaults shown as relative lie in the repository.
An empty variable counts as unset. A bad value stops the service at start.

| variable | default | takes | meaning |
| --- | --- | --- | --- |
"""

_KINDS = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Path: "path", SecretStr: "text"}
_BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


def main() -> int:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(settings_page(), encoding="utf-8")
    return 0


def settings_page() -> str:
    return _HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    variable = f"{Settings.model_config.get('env_prefix', '')}{name}".upper()
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{variable}` | {_default(field)} | {_takes(field)} | {meaning} |\n"


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is None or value == "":
        return "unset"
    if value is PydanticUndefined:
        return "**required**"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        return f"`{value.relative_to(ROOT)}`"
    return f"`{value}`"


def _takes(field: FieldInfo) -> str:
    bounds = [
        text.format(getattr(rule, attribute))
        for rule in field.metadata
        for attribute, text in _BOUNDS.items()
        if getattr(rule, attribute, None) is not None
    ]
    return ", ".join([_kind(field.annotation), *bounds])


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        *others, last = (f"`{choice}`" for choice in get_args(annotation))
        return f"{', '.join(others)} or {last}"
    if get_origin(annotation) in {Union, UnionType}:
        return " or ".join(_kind(part) for part in get_args(annotation) if part is not NoneType)
    # An unknown type would leave a hole in the page: a KeyError says to name it here.
    return _KINDS[annotation]


if __name__ == "__main__":
    sys.exit(main())
