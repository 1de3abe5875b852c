"""The columns that a machine with a GPU adds to the table: its memory, and how near the limits each contender comes."""

from collections.abc import Mapping, Sequence

from app.engine.base import ModelFiles
from benchmarks.engine import work
from benchmarks.engine.gpu import Peak
from benchmarks.engine.measure import Case, Times


def memory(cases: Sequence[Case], found: Sequence[Times], grown: Mapping[str, int]) -> dict[str, list[str]]:
    """`grown`: by how much the GPUs' memory grew while each contender started, for want of better. No column where
    nothing is known."""
    cells = [_mib(times.gpu_bytes, grown.get(case.contender.name)) for case, times in zip(cases, found, strict=True)]
    return {"GPU memory": cells} if any(cell != "–" for cell in cells) else {}


def shares(
    cases: Sequence[Case], found: Sequence[Times], files: ModelFiles, side_px: int, peak: Peak
) -> dict[str, list[str]]:
    """The least work (see `work`) by the time it took, as shares of what one GPU could do."""
    pair = work.read_pair(files, side_px)
    if pair is None:
        return {}
    tokens = {case.asked: 0 for case in cases}
    for case in cases:
        tokens[case.asked] = tokens[case.asked] or work.question_tokens(files, case.questions)
    arithmetic, bandwidth = [], []
    for case, times in zip(cases, found, strict=True):
        took_s = sum(times.rounds_s)
        operations = pair.operations(tokens[case.asked], case.questions) * times.pictures
        read = pair.bytes_read(case.questions, case.pictures, case.concurrency) * len(times.rounds_s)
        arithmetic.append(f"{operations / took_s / peak.operations_per_s:.2%}")
        bandwidth.append(f"{read / took_s / peak.bytes_per_s:.2%}")
    return {"of the arithmetic": arithmetic, "of the bandwidth": bandwidth}


def _mib(held_bytes: int | None, grown_bytes: int | None) -> str:
    if held_bytes is not None:
        return f"{held_bytes / 2**20:.0f} MiB"
    return f"+{grown_bytes / 2**20:.0f} MiB" if grown_bytes else "–"
