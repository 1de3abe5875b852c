"""The files that are shipped."""

import hashlib

from app.engine.catalogue import load_catalogue
from tests.demo_model.conftest import ROOT

_FOLDER = ROOT / "models" / "demo"
_MOST_BYTES = 25_000_000


def test_the_catalogue_names_the_shipped_files_digests_and_sizes() -> None:
    entry = load_catalogue(ROOT / "models" / "catalogue.yaml").entry("demo")
    for file in (entry.files.model, entry.files.projector):
        data = (_FOLDER / file.name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (file.sha256, file.bytes)


def test_the_pair_stays_small() -> None:
    assert sum(path.stat().st_size for path in _FOLDER.glob("*.gguf")) <= _MOST_BYTES


def test_the_card_says_first_that_it_is_no_moderator() -> None:
    first = (_FOLDER / "CARD.md").read_text(encoding="utf-8").splitlines()[0]
    assert "demonstration model" in first
    assert "NOT a moderator" in first
