"""The learning curves as a picture."""

import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_LINES = {
    "patch_accuracy": "pictogram patches named",
    "yes_no_accuracy": "yes/no answers right",
    "word_accuracy": "other answer words right",
}


def plot(table: Path, out: Path) -> None:
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    header, body = rows[0], [[float(v) for v in row] for row in rows[1:]]
    figure, axes = plt.subplots(figsize=(7, 4), dpi=100)
    for name, label in _LINES.items():
        at = header.index(name)
        points = [(row[0], row[at]) for row in body if len(row) > at]
        axes.plot([p[0] for p in points], [p[1] for p in points], marker=".", label=label)
    axes.set(xlabel="minutes of CPU time per process", ylabel="share, on pictures never trained on", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(out)
