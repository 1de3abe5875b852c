"""The evaluation: everything through llama.cpp, on pictures drawn with a seed that training never used."""

import dataclasses
import re
import time
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from tqdm import tqdm

from .figures import auroc, upper_bound
from .glyphs import GLYPHS
from .photos import Photo
from .questions import DESCRIBE, Truth, policy_questions, unseen_questions
from .render import Mix, Rendered, Renderer, draw_size
from .service import Service

_ALARM = 0.5
_NAMES = frozenset(glyph.name for glyph in GLYPHS)
_UNSEEN_EVERY = 4
_ENLARGED_EVERY = 4
_Probe = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class ProbeFigures:
    category: str
    language: str
    prompt: str
    auroc: float
    recall: float
    false_alarms: float


@dataclasses.dataclass(frozen=True)
class Scores:
    """`p` (pictures, probes) and what was there; `captions` where the description was asked for."""

    probes: Sequence[_Probe]
    p: np.ndarray
    mass: np.ndarray
    truths: Sequence[Truth]
    captions: Sequence[str]
    median_ms: float

    def by_probe(self) -> list[ProbeFigures]:
        return [self._figures(n, probe) for n, probe in enumerate(self.probes)]

    def _figures(self, column: int, probe: _Probe) -> ProbeFigures:
        there = np.array([probe[0] in truth.categories for truth in self.truths])
        p = self.p[:, column]
        recall = float((p[there] > _ALARM).mean()) if there.any() else float("nan")
        return ProbeFigures(*probe, auroc(p, there), recall, float((p[~there] > _ALARM).mean()))

    def captions_right(self) -> tuple[float, float]:
        """Recall and precision of the objects named."""
        hits = missed = invented = 0
        for truth, caption in zip(self.truths, self.captions, strict=True):
            there = {GLYPHS[i].name for i in truth.ids}
            named = set(re.findall(r"[a-z]+", caption)) & _NAMES
            hits += len(there & named)
            missed += len(there - named)
            invented += len(named - there)
        return hits / max(1, hits + missed), hits / max(1, hits + invented)


@dataclasses.dataclass(frozen=True)
class Alarms:
    """How many of `pictures` harmless pictures had any probe above one half."""

    pictures: int
    alarmed: int
    worst: Sequence[str]

    @property
    def share(self) -> float:
        return self.alarmed / max(1, self.pictures)

    @property
    def bound(self) -> float:
        return upper_bound(self.alarmed, self.pictures)


@dataclasses.dataclass(frozen=True)
class Report:
    renders: Scores
    unseen: Scores
    enlarged: Scores
    photographs: Alarms
    pages: Alarms
    unknown_pictograms: Alarms


def evaluate(service: Service, renderer: Renderer, photos: Sequence[Photo], *, renders: int, seed: int) -> Report:
    rng = np.random.default_rng([seed, 77])
    drawn = [renderer.draw(rng, draw_size(rng), Mix()) for _ in tqdm(range(renders), desc="drawing")]
    enlarged = [_enlarged(rng, picture) for picture in drawn[::_ENLARGED_EVERY]]
    few = max(100, renders // 10)
    pages = [renderer.draw(rng, draw_size(rng), Mix(photo=0, writing=1, empty=1, decoys=0)) for _ in range(few)]
    decoys = [renderer.draw(rng, draw_size(rng), Mix(photo=0.3, writing=0, empty=1, decoys=1)) for _ in range(few)]
    return Report(
        renders=score(service, drawn, policy_questions(), "renders"),
        unseen=score(service, drawn[::_UNSEEN_EVERY], unseen_questions(), "unseen wordings"),
        enlarged=score(service, enlarged, policy_questions(), "enlarged"),
        photographs=alarms(service, list(crops(photos)), "photographs"),
        pages=alarms(service, [(f"page {n}", p.pixels) for n, p in enumerate(pages)], "pages"),
        unknown_pictograms=alarms(service, [(f"decoy {n}", p.pixels) for n, p in enumerate(decoys)], "decoys"),
    )


def score(service: Service, drawn: Sequence[Rendered], probes: Sequence[_Probe], what: str) -> Scores:
    rows_p, rows_mass, captions, times = [], [], [], []
    prompts = [prompt for _, _, prompt in probes]
    for picture in tqdm(drawn, desc=what):
        started = time.perf_counter()
        answers = service.ask(picture.pixels, prompts, (DESCRIBE,))
        times.append(time.perf_counter() - started)
        rows_p.append(answers.p)
        rows_mass.append(answers.mass)
        captions.append(answers.texts[0])
    truths = [picture.truth for picture in drawn]
    return Scores(probes, np.array(rows_p), np.array(rows_mass), truths, captions, float(np.median(times)) * 1000)


def alarms(service: Service, pictures: Sequence[tuple[str, np.ndarray]], what: str) -> Alarms:
    probes = policy_questions()
    found: list[tuple[float, str]] = []
    for name, pixels in tqdm(pictures, desc=what):
        p = service.ask(pixels, [prompt for _, _, prompt in probes]).p
        if p.max() > _ALARM:
            category, language, _ = probes[int(p.argmax())]
            found.append((float(p.max()), f"{name}: {category}/{language} {p.max():.2f}"))
    return Alarms(len(pictures), len(found), [text for _, text in sorted(found, reverse=True)[:12]])


def crops(photos: Sequence[Photo]) -> Iterator[tuple[str, np.ndarray]]:
    """Each held-out photograph once, whatever sizes and hours of the day it comes in, as a whole and in four crops,
    always the same ones."""
    seen: set[str] = set()
    for photo in photos:
        if not photo.held_out or photo.name in seen:
            continue
        seen.add(photo.name)
        rng = np.random.default_rng(list(photo.name.encode()))
        yield photo.name, np.ascontiguousarray(photo.pixels)
        height, width = photo.pixels.shape[:2]
        for _ in range(4):
            zoom = rng.uniform(0.4, 0.9)
            h, w = max(32, int(height * zoom)), max(32, int(width * zoom))
            y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            yield f"{photo.name} (crop)", np.ascontiguousarray(photo.pixels[y : y + h, x : x + w])


def _enlarged(rng: np.random.Generator, picture: Rendered) -> Rendered:
    height, width, _ = picture.pixels.shape
    times = float(rng.uniform(2, 4))
    size = (round(width * times), round(height * times))
    pixels = np.asarray(Image.fromarray(picture.pixels).resize(size, Image.Resampling.BICUBIC))
    return dataclasses.replace(picture, pixels=pixels)


def table(report: Report) -> str:
    """The figures beside their goals, as Markdown."""
    plain, unseen, large = report.renders.by_probe(), report.unseen.by_probe(), report.enlarged.by_probe()
    recall, precision = report.renders.captions_right()
    photos, pages, decoys = report.photographs, report.pages, report.unknown_pictograms
    rows = [
        ("pictures rendered", f"{len(report.renders.truths)}", "≥ 4,000"),
        ("mean AUROC over 12 probes / worst", _mean_worst([f.auroc for f in plain]), "≥ 0.985 / ≥ 0.96"),
        (
            "recall at 0.5, worst probe / false alarms on renders, worst probe",
            f"{min(f.recall for f in plain):.3f} / {max(f.false_alarms for f in plain):.3f}",
            "≥ 0.85 / ≤ 0.03",
        ),
        (
            f"false alarms on {photos.pictures} held-out photographs and crops, any probe (95% bound)",
            f"{photos.share:.3f} ({photos.bound:.3f})",
            "≤ 0.025",
        ),
        ("unseen wordings: mean AUROC / worst", _mean_worst([f.auroc for f in unseen]), "≥ 0.97"),
        ("unseen wordings: worst recall at 0.5", f"{min(f.recall for f in unseen):.3f}", "≥ 0.7"),
        ("caption: object recall / precision", f"{recall:.3f} / {precision:.3f}", "≥ 0.90 / ≥ 0.92"),
        ("answer mass, mean", f"{report.renders.mass.mean():.4f}", "≥ 0.99"),
        ("enlarged 2–4×: mean AUROC / worst", _mean_worst([f.auroc for f in large]), "≥ 0.97"),
        (f"pages of text, {pages.pictures}: any probe alarms", f"{pages.share:.3f}", ""),
        (f"unknown pictograms, {decoys.pictures}: any probe alarms", f"{decoys.share:.3f}", ""),
        ("encode + 12 probes + caption, median", f"{report.renders.median_ms:.0f} ms", "≤ 60 ms"),
    ]
    lines = ["| what | figure | goal |", "| --- | --- | --- |", *(f"| {a} | {b} | {c} |" for a, b, c in rows), ""]
    lines += ["| probe | AUROC | recall at 0.5 | false alarms |", "| --- | --- | --- | --- |"]
    lines += [_row(f) for f in (*plain, *unseen)]
    worst = [*photos.worst, *pages.worst[:3], *decoys.worst[:6]]
    return "\n".join([*lines, "", "Worst alarms on harmless pictures:", *(f"- {w}" for w in worst)])


def _mean_worst(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f} / {min(values):.4f}"


def _row(figures: ProbeFigures) -> str:
    return f"| {figures.prompt} | {figures.auroc:.4f} | {figures.recall:.3f} | {figures.false_alarms:.3f} |"
