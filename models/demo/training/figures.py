"""Figures of merit, on plain arrays."""

import math

import numpy as np


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive scores above a negative, ties counting half. NaN without either."""
    positive = positive.astype(bool)
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    if not n_pos or not n_neg:
        return math.nan
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    assert len(values) == len(counts)  # noqa: S101 - numpy's promise
    return float((ranks[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def upper_bound(hits: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided Clopper–Pearson: the share that `hits` of `trials` still allow."""
    if hits >= trials:
        return 1.0
    low, high = hits / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        at_most = sum(math.exp(_log_binomial(trials, k, middle)) for k in range(hits + 1))
        low, high = (middle, high) if at_most > 1 - confidence else (low, middle)
    return high


def _log_binomial(trials: int, hits: int, share: float) -> float:
    choose = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return choose + (hits * math.log(share) if hits else 0.0) + (trials - hits) * math.log1p(-share)
