"""The lists of photographs, and the things of no name that stand beside them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training import photos, repositories
from training.clutter import heap


def test_every_listed_picture_has_a_commit_a_licence_and_a_place_of_its_own() -> None:
    listed = repositories.repositories()
    assert len({repository.name for repository in listed}) == len(listed)
    for repository in listed:
        assert len(repository.commit) == 40
        assert repository.licence
        assert len(set(repository.files)) == len(repository.files) > 0
        assert all(".." not in file and not file.startswith("/") for file in repository.files)
        assert all(word not in repository.licence for word in ("SA", "GPL", "NC", "ND"))


def test_pictures_of_one_motif_lie_on_one_side_of_the_split(tmp_path: Path) -> None:
    motifs: dict[str, set[bool]] = {}
    for repository in repositories.repositories():
        for file in repository.files:
            motif = repository.motif_of(file)
            motifs.setdefault(motif, set()).add(photos.is_held_out(motif))
    assert all(len(sides) == 1 for sides in motifs.values())
    held_out = sum(sides == {True} for sides in motifs.values()) / len(motifs)
    assert 0.12 < held_out < 0.28
    assert not list(repositories.pictures(tmp_path))  # nothing was fetched there


@pytest.mark.parametrize(
    ("how", "one", "other", "same"),
    [
        ("folder", "Fruit/Apple/1.jpg", "Fruit/Apple/2.jpg", True),
        ("stem", "pie-01.webp", "pie-02.webp", True),
        ("stem", "pie.webp", "tart.webp", False),
        ("name", "100.jpg", "200.jpg", False),
    ],
)
def test_what_counts_as_one_motif(how: str, one: str, other: str, same: bool) -> None:
    repository = repositories.Repository("a/b", "0" * 40, "CC0-1.0", how, "", (one, other))
    assert (repository.motif_of(one) == repository.motif_of(other)) is same


@pytest.mark.parametrize("seed", range(12))
def test_a_heap_covers_part_of_a_picture_and_is_the_same_for_the_same_seed(seed: int) -> None:
    drawn = []
    for _ in range(2):
        canvas = Image.new("RGB", (160, 96), (7, 7, 7))
        heap(np.random.default_rng(seed), canvas, 24)
        drawn.append(np.asarray(canvas))
    assert drawn[0].shape == (96, 160, 3)
    assert (drawn[0] != 7).any(-1).mean() > 0.1
    assert np.array_equal(*drawn)
