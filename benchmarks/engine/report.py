"""The table, the plot and the machine's facts."""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.engine.measure import Case, Times


def facts(settings: Mapping[str, object]) -> str:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    lines = {
        "machine": f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load average at the end": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        "llama-cpp-python": importlib.metadata.version("llama-cpp-python"),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **settings,
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())


def table(cases: Sequence[Case], found: Sequence[Times], more: Mapping[str, Sequence[str]] | None = None) -> str:
    """Ratios are to the first case of the same questions: how many times shorter, how many times more. `more` columns,
    each with its cells."""
    more = more or {}
    rows = [
        "| asked | contender | p50 | p95 | pictures/s | tokens/s | shorter (p50) | more pictures/s | CPU s/picture "
        "| less CPU | peak memory |" + "".join(f" {name} |" for name in more),
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |" + " ---: |" * len(more),
    ]
    first: dict[str, Times] = {}
    for at, (case, times) in enumerate(zip(cases, found, strict=True)):
        base = first.setdefault(case.asked, times)
        rows.append(
            f"| {case.asked} | {case.name} | {times.p50_s:.3f} s | {times.p95_s:.3f} s | {times.pictures_per_s:.2f} "
            f"| {times.tokens_per_s:.1f} | {base.p50_s / times.p50_s:.2f}× "
            f"| {times.pictures_per_s / base.pictures_per_s:.2f}× | {times.cpu_s_per_picture:.2f} "
            f"| {base.cpu_s_per_picture / max(times.cpu_s_per_picture, 1e-9):.2f}× "
            f"| {times.peak_bytes / 2**20:.0f} MiB |" + "".join(f" {cells[at]} |" for cells in more.values())
        )
    return "\n".join(rows)


def plot(cases: Sequence[Case], found: Sequence[Times], path: Path) -> None:
    """Pictures per second, and latency with its spread."""
    import matplotlib  # noqa: PLC0415 - only who wants a plot needs it

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    names = [f"{case.name}\n({case.asked})" for case in cases]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 0.5 * len(cases) + 1.5), sharey=True)
    left.barh(names, [times.pictures_per_s for times in found], color="#35608d")
    left.set_xlabel("pictures/s (more is better)")
    left.invert_yaxis()
    right.barh(names, [times.p50_s for times in found], color="#a8c5da")
    right.scatter([times.p95_s for times in found], names, color="#35608d", zorder=3, label="p95")
    right.set_xlabel("seconds a picture, p50 (less is better)")
    right.legend()
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
