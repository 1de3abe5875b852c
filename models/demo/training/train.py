"""The trainer: first to see (every patch says which pictogram it belongs to), then to answer as well.

Several processes of one thread each, which train by themselves and average their weights every few steps (local
SGD): on a machine that others use too, threads or processes that meet at every step wait for whichever was pushed
aside, and were four times slower (threads) and half again as slow (processes).
"""

import csv
import dataclasses
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from .data import PADDING, PictureBatch, draw_pictures, draw_text, tree_mask, trunk_tokens
from .glyphs import CLASSES
from .model import DemoModel
from .muon import Muon
from .packing import widened
from .precision import autocast
from .render import Mix, Renderer
from .shape import Shape
from .shipped import load_pair
from .vocabulary import YES_NO_IDS

_BACKGROUND_WEIGHT = 0.25
_MATRIX_LR, _OTHER_LR = 0.02, 2e-3
_WARM_UP_STEPS = 60
_NEW_HEADS_STEPS = 100
_DECAY_FROM = 0.45
_CALM_RATE = 0.25
#: Few sizes of products: each new one stays in oneDNN's cache, gigabytes of them after an hour.
_PRESENT_STEP, _ASKED_STEP = 256, 32
_CURVE_FIELDS = ("minutes", "step", "pictures", "patch_accuracy", "yes_no_loss", "yes_no_accuracy", "word_accuracy")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Steps are of each process, `batch` too, in pictures of 160×160. The processes average their weights every
    `meet_every` steps: counted in steps, not by the clock, so that the same seed makes the same model."""

    out: Path
    see_steps: int = 2200
    answer_steps: int = 3700
    calm_steps: int = 1000
    batch: int = 24
    probes: int = 4
    seed: int = 0
    device: str = "cpu"
    processes: int = 2
    meet_every: int = 25
    save_every: int = 250
    check_every: int = 250
    #: A pair to go on from, and the share of the learning rates to do it with: what is known is not to be undone.
    start_from: Path | None = None
    peak: float = 1.0

    @property
    def steps(self) -> int:
        return self.see_steps + self.answer_steps + self.calm_steps

    def rate(self, step: int) -> float:
        """Of the learning rates: up, level, down to nearly nothing; then from a quarter down once more."""
        taught = self.see_steps + self.answer_steps
        if step < taught:
            down = max(0.005, min(1.0, (1 - step / taught) / (1 - _DECAY_FROM)))
            return self.peak * min(1.0, (step + 1) / _WARM_UP_STEPS) * down
        return self.peak * _CALM_RATE * max(0.02, 1 - (step - taught) / self.calm_steps)

    def new_heads(self, step: int) -> bool:
        """Whether the heads that only training has are still to learn from a pair what it sees, and not to teach it."""
        return self.start_from is not None and step < _NEW_HEADS_STEPS


#: While learning to see: mostly crowds, and a third of the pictures that come later, for large pictograms.
_SEEING = Mix(crowd=True, empty=0.1)
_ANSWERING = Mix(photo=0.45, empty=0.26, decoys=0.4, clutter=0.3)
#: At last: mostly photographs and strange things on which the answer is no, and photographs as nobody took them.
_CALMING = Mix(photo=0.65, empty=0.5, decoys=0.45, estranged=0.5, clutter=0.6)
_CROWDS_SEEING, _CROWDS_LATER = 0.67, 0.12


class Auxiliary(nn.Module):
    """Heads that only training has: the pictogram of each patch, and of each picture token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.patch = nn.Linear(shape.vision_width, CLASSES)
        self.cell = nn.Linear(shape.text_width, CLASSES)
        weight = torch.ones(CLASSES)
        weight[0] = _BACKGROUND_WEIGHT
        self.register_buffer("weight", weight)

    def forward(self, patches: Tensor, cells: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the share of pictogram patches that were named right."""
        logits = self.patch(patches).float()
        by_patch = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), self.weight, label_smoothing=0.02)
        cell_labels = labels.view(labels.shape[0], -1, 4).amax(-1)
        by_cell = functional.cross_entropy(self.cell(cells).float().flatten(0, 1), cell_labels.flatten(), self.weight)
        drawn = labels > 0
        right = (logits.argmax(-1) == labels)[drawn].float().mean() if drawn.any() else torch.zeros(())
        return by_patch + by_cell, right


def answer_loss(
    model: DemoModel, cells: Tensor, batch: PictureBatch, rng: random.Random, probes: int
) -> tuple[Tensor, list[float]]:
    """The loss of the answers, and [yes/no loss, yes/no accuracy, accuracy of other words]."""
    device = cells.device
    text = draw_text(rng, batch.truths, cells.shape[1], probes)
    trunk = torch.tensor(trunk_tokens(), device=device)
    before = len(trunk) + cells.shape[1]
    rows = len(batch.truths)
    words = model.text.embed(text.tokens.to(device))
    x = torch.cat([model.text.embed(trunk)[None].expand(rows, -1, -1), cells.to(words.dtype), words], 1)
    branches = torch.cat([torch.full((rows, before), -1), text.branches], 1).to(device)
    positions = torch.cat([torch.arange(before)[None].expand(rows, -1), text.positions], 1).to(device)
    learned = torch.cat([torch.zeros(rows, before), text.weights], 1).to(device) > 0
    filled = branches != PADDING
    present = widened(filled, ~filled, _PRESENT_STEP)
    asked = widened(learned, filled, _ASKED_STEP)
    states = model.text.answers(x, positions, tree_mask(branches), present, asked)[learned[asked]]
    logits = model.text.head(states).float()
    of_text = learned[:, before:]
    targets, weights = text.targets.to(device)[of_text], text.weights.to(device)[of_text]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    with torch.no_grad():
        right = (logits.argmax(1) == targets).float()
        yes_no = torch.isin(targets, torch.tensor(YES_NO_IDS, device=device))
        figures = [losses[yes_no].mean().item(), right[yes_no].mean().item(), right[~yes_no].mean().item()]
    return (losses * weights).sum() / weights.sum(), figures


def _optimizers(model: DemoModel, auxiliary: Auxiliary) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for the rest."""
    outer = ("embed", "head", "patch", "merge_")
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and not any(o in n for o in outer)]  # noqa: PLR2004
    inner = {id(p) for p in hidden}
    rest = [p for p in (*model.parameters(), *auxiliary.parameters()) if id(p) not in inner]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=_OTHER_LR, betas=(0.9, 0.98))
    muon = Muon(hidden, lr=_MATRIX_LR)
    for optimizer in (adam, muon):
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return [adam, muon]


class Trainer:
    """One process of the training; `rank` 0 writes checkpoint, curve and progress."""

    def __init__(self, plan: Plan, shape: Shape, renderers: tuple[Renderer, Renderer], rank: int) -> None:
        self.plan, self.rank = plan, rank
        torch.manual_seed(plan.seed)
        self.model = DemoModel(shape).to(plan.device)
        if plan.start_from is not None:
            self.model.load_state_dict(load_pair(plan.start_from, shape))
        self.auxiliary = Auxiliary(shape).to(plan.device)
        self.optimizers = _optimizers(self.model, self.auxiliary)
        self.train_pictures, self.check_pictures = renderers
        self.step, self.pictures, self.spent_s = 0, 0, 0.0

    def resume(self) -> bool:
        path = self._checkpoint()
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.plan.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.auxiliary.load_state_dict(state["auxiliary"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.pictures, self.spent_s = state["step"], state["pictures"], state["spent_s"]
        return True

    def _checkpoint(self) -> Path:
        """Every process has one: they share weights, but not the memory of their optimizers."""
        return self.plan.out / ("checkpoint.pt" if self.rank == 0 else f"checkpoint-{self.rank}.pt")

    def save(self) -> None:
        state = {
            "shape": dataclasses.asdict(self.model.shape),
            "model": self.model.state_dict(),
            "auxiliary": self.auxiliary.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "pictures": self.pictures,
            "spent_s": self.spent_s,
        }
        partial = self._checkpoint().with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self._checkpoint())

    def run(self) -> None:
        plan = self.plan
        bar = tqdm(total=plan.steps, initial=self.step, unit="step", disable=self.rank != 0)
        started_s = self._clock_s() - self.spent_s
        while self.step < plan.steps:
            # Drawn anew at every step, so that a resumed run goes on as if it had never stopped.
            key = [plan.seed, self.rank, self.step]
            figures = self._step(np.random.default_rng(key), random.Random(str(key)))  # noqa: S311 - not a secret
            bar.update()
            bar.set_postfix_str(f"pictures {self.pictures} {figures}", refresh=False)
            last = self.step == plan.steps
            if self.step % plan.meet_every == 0 or last:
                self._meet()
            self.spent_s = self._clock_s() - started_s
            if self.step % plan.save_every == 0 or last:
                self.save()
            if self.rank == 0 and (self.step % plan.check_every == 0 or last):
                self._record(self.check(answers=self.step > plan.see_steps))
        bar.close()

    def _clock_s(self) -> float:
        return time.process_time() if self.plan.device == "cpu" else time.monotonic()

    @torch.no_grad()
    def _meet(self) -> None:
        """Average the weights over the processes."""
        if self.plan.processes == 1:
            return
        weights = [*self.model.parameters(), *self.auxiliary.parameters()]
        total = torch.cat([w.flatten() for w in weights])
        dist.all_reduce(total)
        for weight, mean in zip(
            weights, (total / self.plan.processes).split([w.numel() for w in weights]), strict=True
        ):
            weight.copy_(mean.view_as(weight))

    def _step(self, rng: np.random.Generator, words: random.Random) -> str:
        plan = self.plan
        answers = self.step >= plan.see_steps
        rate = plan.rate(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * rate
            optimizer.zero_grad(set_to_none=True)
        crowd = rng.random() < (_CROWDS_LATER if answers else _CROWDS_SEEING)
        calm = self.step >= plan.see_steps + plan.answer_steps
        mix = _SEEING if crowd else _CALMING if calm else _ANSWERING
        batch = draw_pictures(self.train_pictures, rng, plan.batch, mix)
        with autocast(self.plan.device):
            patches, cells = self.model.vision(batch.pictures.to(self.plan.device))
            seen = (patches.detach(), cells.detach()) if plan.new_heads(self.step) else (patches, cells)
            loss, right = self.auxiliary(*seen, batch.labels.to(self.plan.device))
            figures = [float(right)]
            if answers:
                said, more = answer_loss(self.model, cells, batch, words, self.plan.probes)
                loss = 0.5 * loss + 2 * said
                figures += more
        loss.backward()
        adam = self.optimizers[0]
        nn.utils.clip_grad_norm_([p for group in adam.param_groups for p in group["params"] if p.grad is not None], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.pictures += len(batch.truths) * self.plan.processes
        return " ".join(f"{f:.3f}" for f in figures)

    @torch.no_grad()
    def check(self, *, answers: bool, batches: int = 6) -> list[float]:
        """Figures on pictures from another seed, on held-out photographs and decoys."""
        rng, words = np.random.default_rng(10_000_019), random.Random(7)  # noqa: S311
        found: list[list[float]] = []
        for _ in range(batches):
            batch = draw_pictures(self.check_pictures, rng, self.plan.batch, Mix())
            with autocast(self.plan.device):
                patches, cells = self.model.vision(batch.pictures.to(self.plan.device))
                _, right = self.auxiliary(patches, cells, batch.labels.to(self.plan.device))
                figures = [float(right)]
                if answers:
                    figures += answer_loss(self.model, cells, batch, words, self.plan.probes)[1]
            found.append(figures)
        return [float(v) for v in np.mean(found, 0)]

    def _record(self, figures: list[float]) -> None:
        path = self.plan.out / "curve.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(_CURVE_FIELDS)
            writer.writerow([round(self.spent_s / 60, 2), self.step, self.pictures, *(round(f, 4) for f in figures)])


def run_process(rank: int, plan: Plan, shape: Shape, renderers: tuple[Renderer, Renderer], resume: bool) -> None:
    """The body of one training process."""
    if plan.processes > 1:
        torch.set_num_threads(1)
        store = dist.FileStore(str(plan.out / "rendezvous"), plan.processes)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=plan.processes)
    trainer = Trainer(plan, shape, renderers, rank)
    if resume and trainer.resume() and rank == 0:
        tqdm.write(f"resumed at step {trainer.step}, {trainer.spent_s / 60:.1f} minutes")
    trainer.run()
    if plan.processes > 1:
        dist.destroy_process_group()


def train(plan: Plan, shape: Shape, renderers: tuple[Renderer, Renderer], *, resume: bool) -> None:
    plan.out.mkdir(parents=True, exist_ok=True)
    (plan.out / "rendezvous").unlink(missing_ok=True)
    if plan.processes == 1:
        run_process(0, plan, shape, renderers, resume)
        return
    # Forked: the photographs are loaded once and shared.
    torch.multiprocessing.start_processes(
        run_process, (plan, shape, renderers, resume), nprocs=plan.processes, start_method="fork"
    )
