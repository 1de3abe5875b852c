import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.engine import digests
from app.engine.base import ModelFiles
from app.engine.files import check_files
from app.errors import ModelFileMissing


def test_a_good_pair_gives_its_digests(demo: ModelFiles) -> None:
    checked = check_files(demo)

    assert (checked.model_digest, checked.projector_digest) == (demo.model_digest, demo.projector_digest)
    assert checked.unchanged()


@pytest.mark.parametrize("part", ["model", "projector"])
def test_a_missing_part_is_named(demo: ModelFiles, tmp_path: Path, part: str) -> None:
    files = replace(demo, **{part: tmp_path / "absent.gguf"}, missing_hint="get it there")

    with pytest.raises(ModelFileMissing, match=r"absent\.gguf not found: get it there"):
        check_files(files)


def test_a_folder_is_not_a_model(demo: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing):
        check_files(replace(demo, model=tmp_path))


def test_a_file_that_changes_or_goes_is_noticed_and_read_anew(demo: ModelFiles, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    shutil.copy(demo.model, model)
    files = replace(demo, model=model, model_digest=None)
    first = check_files(files)

    model.write_bytes(model.read_bytes()[:-1] + b"\x01")
    os.utime(model, ns=(1, 1))

    assert not first.unchanged()
    assert check_files(files).model_digest != first.model_digest
    model.unlink()
    assert not first.unchanged()


def test_a_file_is_hashed_once(demo: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model.gguf"
    shutil.copy(demo.model, model)
    digest = digests.file_digest(model)

    def never(*_: object) -> None:
        raise AssertionError("hashed again")

    monkeypatch.setattr(digests.hashlib, "file_digest", never)

    assert digests.file_digest(model) == digest
