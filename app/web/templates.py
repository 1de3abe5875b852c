"""Jinja, with everything escaped, and answers made of it."""

from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Response
from litestar.datastructures import Cookie

from app.web.chrome import Chrome

STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).parent / "templates"

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def render(
    template: str, chrome: Chrome, *, status_code: int = 200, cookies: list[Cookie] | None = None, **values: Any
) -> Response[str]:
    html = _environment().get_template(template).render(chrome=chrome, now=datetime.now(UTC), **values)
    return Response(html, status_code=status_code, media_type=MediaType.HTML, cookies=cookies)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = _asset
    environment.filters.update(utc=_utc, percent=_percent, age=_age, number=_number)
    return environment


@cache
def _asset(name: str) -> str:
    """The address of a static file, with its content's digest, so that browsers may keep it for ever."""
    return f"/static/{name}?v={sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%"


def _number(value: object) -> str:
    """As a condition saw it; None is what it could not see."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _age(moment: datetime, now: datetime) -> str:
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds < _MINUTE_S:
        return f"{seconds} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S} h"
    return f"{seconds // _DAY_S} d"
