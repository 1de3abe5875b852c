"""Shares of pass, review and reject over a moving threshold, as an SVG that needs nothing else to be seen."""

from collections.abc import Iterator, Sequence
from html import escape

from app.domain import Outcome
from app.policy.backtest import Curve
from app.policy.surfaces import place_of

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 96, 40, 44
#: Told apart by their dashes as well as by their colours.
_LINES = {
    Outcome.PASS: ("#2a7f3f", ""),
    Outcome.REVIEW: ("#b36b00", "7 4"),
    Outcome.REJECT: ("#b3261e", "2 3"),
}


def plot(curves: Sequence[Curve]) -> str:
    """One chart a threshold, one below the other."""
    height = max(1, len(curves)) * _HEIGHT
    parts = [line for at, curve in enumerate(curves) for line in _chart(curve, at * _HEIGHT)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>", ""])


def _chart(curve: Curve, top: float) -> Iterator[str]:
    low, high = curve.values[0], curve.values[-1]
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return _LEFT + (value - low) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(share: float) -> float:
        return top + _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    yield f'<text x="{_LEFT}" y="{top + 22:.1f}" font-size="14">{escape(place_of(curve.threshold))}</text>'
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        )
    for value in (low, (low + high) / 2, high):
        yield f'<text x="{x(value):.1f}" y="{y(0) + 20:.1f}" text-anchor="middle">{value:.4g}</text>'
    for outcome, (colour, dashes) in _LINES.items():
        points = " ".join(
            f"{x(value):.1f},{y(share):.1f}" for value, share in zip(curve.values, curve.shares[outcome], strict=True)
        )
        last = curve.shares[outcome][-1]
        stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
        yield f'<polyline points="{points}" fill="none" {stroke}/>'
        yield (
            f'<text x="{_WIDTH - _RIGHT + 8}" y="{y(last) + 4:.1f}" fill="{colour}">{outcome.value} {last:.1%}</text>'
        )
