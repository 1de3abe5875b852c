"""Which frames of an animation are looked at."""

import hmac
import itertools


def sample_frames(total: int, at_most: int, seed: bytes) -> list[int]:
    """At most `at_most` (≥ 2) frame numbers of `total`, the most important first: first, last, then one from each equal
    part of what lies between, in an order that the seed shuffles.

    The seed is keyed with a secret, so that an uploader cannot tell which frames will be looked at, and by the
    picture, so that the same picture is always sampled alike.
    """
    if total <= at_most:
        chosen = list(range(total))
    else:
        parts = at_most - 2
        edges = [1 + part * (total - 2) // parts for part in range(parts + 1)] if parts else []
        inner = [
            start + _draw(seed, f"part {part}", end - start)
            for part, (start, end) in enumerate(itertools.pairwise(edges))
        ]
        chosen = [0, *inner, total - 1]
    middle = sorted(chosen[1:-1], key=lambda frame: _draw(seed, f"order {frame}", 1 << 64))
    return [*chosen[:1], *(chosen[-1:] if len(chosen) > 1 else []), *middle]


def _draw(seed: bytes, label: str, size: int) -> int:
    """A number in [0, size), as good as random to who lacks the seed."""
    return int.from_bytes(hmac.digest(seed, label.encode(), "sha256")) % size
