"""A new pair's way into the tree."""

import hashlib
from pathlib import Path

import pytest
from training.install import install, with_digest

from tests.demo_model.conftest import ROOT

CATALOGUE = (ROOT / "models" / "catalogue.yaml").read_text(encoding="utf-8")


def test_a_new_file_changes_its_digest_and_size_and_nothing_else() -> None:
    changed = with_digest(CATALOGUE, "model.gguf", b"new weights")
    differing = [new for old, new in zip(CATALOGUE.splitlines(), changed.splitlines(), strict=True) if old != new]
    assert [line.strip() for line in differing] == [
        f"sha256: {hashlib.sha256(b'new weights').hexdigest()}",
        "bytes: 11",
    ]


def test_a_file_that_the_catalogue_does_not_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0 entries of other\.gguf"):
        with_digest(CATALOGUE, "other.gguf", b"")


def test_an_unfinished_run_installs_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"weights")
    with pytest.raises(FileNotFoundError, match=r"lacks mmproj\.gguf, curve\.png, reference\.npz"):
        install(tmp_path)
