import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.engine.base import ModelFiles
from app.engine.catalogue import Catalogue, entry_paths, load_catalogue, require_files, resolve
from app.engine.digests import file_digest
from app.engine.download import pull
from app.errors import ConfigurationError, ModelFileCorrupt, ModelFileMissing
from tests.engine.conftest import MODELS


def changed(tmp_path: Path, **fields: Any) -> Path:
    """The catalogue with fields of its first entry replaced."""
    raw = yaml.safe_load((MODELS / "catalogue.yaml").read_text(encoding="utf-8"))
    raw["models"][0] |= fields
    path = tmp_path / "catalogue.yaml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    return path


def test_the_real_model_comes_first_and_its_digests_are_not_invented(catalogue: Catalogue) -> None:
    first = catalogue.models[0]

    assert first.id == "youtu-vl-4b"
    assert first.repository == "tencent/Youtu-VL-4B-Instruct-GGUF"
    assert not first.demonstration
    assert (first.files.model.sha256, first.files.projector.sha256) == (None, None)
    assert first.picture_tokens == 2048


def test_the_demonstration_pair_is_the_one_the_catalogue_names(catalogue: Catalogue) -> None:
    entry = catalogue.entry("demo")
    paths = require_files(entry, MODELS)

    assert entry.demonstration
    for file, path in zip((entry.files.model, entry.files.projector), paths, strict=True):
        assert file_digest(path) == f"sha256:{file.sha256}"
        assert path.stat().st_size == file.bytes
    assert "NOT a moderator" in (paths[0].parent / "CARD.md").read_text(encoding="utf-8").splitlines()[0]


def test_yes_and_no_words_cover_both_languages(catalogue: Catalogue) -> None:
    for entry in catalogue.models:
        assert {"Yes", " Yes", "yes", "是", "有"} <= set(entry.words.yes)
        assert {"No", " No", "no", "否", "不是", "没有"} <= set(entry.words.no)


def test_an_id_resolves_to_its_files(catalogue: Catalogue, tmp_path: Path) -> None:
    files = resolve(catalogue, "youtu-vl-4b", models_dir=tmp_path)

    assert (files.model, files.projector) == entry_paths(catalogue.models[0], tmp_path)
    assert files.name == "youtu-vl-4b"
    assert not files.demonstration
    assert files.model_digest is None
    assert "portcullis models pull youtu-vl-4b" in files.missing_hint


def test_an_unknown_id_is_told_the_known_ones(catalogue: Catalogue) -> None:
    with pytest.raises(ConfigurationError, match=r"no model 'youtu' in the catalogue; it has youtu-vl-4b, .*, demo"):
        resolve(catalogue, "youtu", models_dir=MODELS)


def test_a_path_needs_its_projector_and_brings_its_chat_form(catalogue: Catalogue) -> None:
    with pytest.raises(ConfigurationError, match="its projector must be given too"):
        resolve(catalogue, "/models/mine.gguf", models_dir=MODELS)

    files = resolve(catalogue, "/models/mine.gguf", models_dir=MODELS, projector=Path("/models/eyes.gguf"))

    assert (files.name, files.model, files.projector) == ("mine", Path("/models/mine.gguf"), Path("/models/eyes.gguf"))
    assert files.chat_form is None
    assert files.picture_tokens == 2048
    assert not files.demonstration


def test_an_entry_lends_its_chat_form_to_a_path(catalogue: Catalogue) -> None:
    mine, eyes = "/models/mine.gguf", Path("/models/eyes.gguf")

    lent = resolve(catalogue, mine, models_dir=MODELS, projector=eyes, chat_form="youtu-vl-4b")
    template = resolve(catalogue, mine, models_dir=MODELS, projector=eyes, chat_form="gemma-3-4b")

    assert lent.chat_form == resolve(catalogue, "youtu-vl-4b", models_dir=MODELS).chat_form
    assert lent.chat_form is not None
    assert template.chat_form is None
    assert template.picture_tokens == 256
    with pytest.raises(ConfigurationError, match="no model 'nobodys'"):
        resolve(catalogue, mine, models_dir=MODELS, projector=eyes, chat_form="nobodys")


def test_models_of_other_families_are_asked_as_their_own_template_says(catalogue: Catalogue) -> None:
    forms = {entry.id: resolve(catalogue, entry.id, models_dir=MODELS).chat_form for entry in catalogue.models}

    assert [name for name, form in forms.items() if form is None] == ["qwen2.5-vl-7b", "gemma-3-4b"]


def test_an_id_takes_no_projector_of_another(catalogue: Catalogue) -> None:
    with pytest.raises(ConfigurationError, match="comes with projector and chat form"):
        resolve(catalogue, "demo", models_dir=MODELS, projector=Path("other.gguf"))


def test_the_demonstration_model_stays_one_under_another_name(
    catalogue: Catalogue, demo: ModelFiles, tmp_path: Path
) -> None:
    disguised = tmp_path / "serious.gguf"
    shutil.copy(demo.model, disguised)

    assert resolve(catalogue, str(disguised), models_dir=MODELS, projector=demo.projector).demonstration


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"picture_tokens": 0}, r"models\.0\.picture_tokens"),
        ({"repository": "no slash"}, r"models\.0\.repository"),
        ({"revision": None}, "repository and revision belong together"),
        ({"words": {"yes": ["Yes", "No"], "no": ["No"]}}, "No cannot mean both yes and no"),
        ({"words": {"yes": [], "no": ["No"]}}, r"models\.0\.words\.yes"),
        ({"chat_form": "of its own"}, r"models\.0\.chat_form"),
        ({"id": "demo"}, "two models have the same id"),
        ({"id": "../../etc"}, r"models\.0\.id"),
        ({"surprise": 1}, r"models\.0\.surprise"),
    ],
)
def test_a_wrong_catalogue_says_what_is_wrong(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        load_catalogue(changed(tmp_path, **fields))


def test_a_file_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    files = {
        "model": {"name": "../../evil.gguf", "sha256": None, "bytes": None},
        "projector": {"name": "b.gguf", "sha256": None, "bytes": None},
    }
    with pytest.raises(ConfigurationError, match=r"files\.model\.name"):
        load_catalogue(changed(tmp_path, files=files))


@pytest.mark.parametrize("text", [b"", b"models: [", b"\xff\xfe", b"models: 3"])
def test_a_broken_catalogue_is_a_configuration_error(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_bytes(text)

    with pytest.raises(ConfigurationError, match=r"catalogue\.yaml"):
        load_catalogue(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_catalogue(tmp_path / "absent.yaml")


class Repository:
    """Stands for Hugging Face: gives the demonstration files under the names asked for."""

    def __init__(self, demo: ModelFiles) -> None:
        self._demo = demo
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, repository: str, name: str, revision: str, folder: Path) -> None:
        self.asked.append((repository, name, revision))
        shutil.copy(self._demo.projector if "mmproj" in name else self._demo.model, folder / name)


def offline(*_: object) -> None:
    raise ConnectionError("no route to host")


def test_a_pull_puts_files_where_the_engine_looks_and_asks_only_for_absent_ones(
    catalogue: Catalogue, demo: ModelFiles, tmp_path: Path
) -> None:
    entry, repository = catalogue.models[0], Repository(demo)

    pulled = pull(entry, tmp_path, fetch=repository)
    pull(entry, tmp_path, fetch=offline)

    assert tuple(file.path for file in pulled) == require_files(entry, tmp_path)
    assert [file.digest for file in pulled] == [demo.model_digest, demo.projector_digest]
    assert not any(file.verified for file in pulled)
    assert [name for _, name, _ in repository.asked] == [entry.files.model.name, entry.files.projector.name]


def test_offline_the_sentence_says_which_files_to_put_where(catalogue: Catalogue, tmp_path: Path) -> None:
    entry = catalogue.models[0]

    for attempt in (lambda: pull(entry, tmp_path, fetch=offline), lambda: require_files(entry, tmp_path)):
        with pytest.raises(ModelFileMissing) as caught:
            attempt()
        for part in (
            entry.files.model.name,
            entry.files.projector.name,
            "https://huggingface.co/tencent/Youtu-VL-4B-Instruct-GGUF",
            *map(str, entry_paths(entry, tmp_path)),
        ):
            assert part in caught.value.detail


def test_a_download_that_is_not_what_the_catalogue_names_is_set_aside(
    catalogue: Catalogue, demo: ModelFiles, tmp_path: Path
) -> None:
    entry = catalogue.models[0]
    known = entry.files.model.model_copy(update={"sha256": "0" * 64})
    entry = entry.model_copy(update={"files": entry.files.model_copy(update={"model": known})})

    with pytest.raises(ModelFileCorrupt, match="is not the file the catalogue names"):
        pull(entry, tmp_path, fetch=Repository(demo))

    model, _ = entry_paths(entry, tmp_path)
    assert not model.exists()
    assert model.with_name(f"{model.name}.rejected").exists()


def test_the_demonstration_pair_is_verified_and_never_downloaded(catalogue: Catalogue, tmp_path: Path) -> None:
    entry = catalogue.entry("demo")

    assert all(file.verified for file in pull(entry, MODELS, fetch=offline))
    with pytest.raises(ModelFileMissing, match="they ship with Portcullis"):
        pull(entry, tmp_path, fetch=offline)
