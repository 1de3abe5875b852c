"""Fetching a model of the catalogue from Hugging Face."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.engine.catalogue import CatalogueEntry, CatalogueFile, entry_paths, missing_hint, require_files
from app.engine.digests import file_digest
from app.engine.gguf import check_gguf
from app.errors import ModelFileCorrupt, ModelFileMissing

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PulledFile:
    """`digest` is `sha256:…` of what is on disk; `verified` whether the catalogue knew it beforehand."""

    path: Path
    digest: str
    verified: bool


#: (repository, file name, revision, folder) -> the file is in the folder. Raises OSError.
Fetch = Callable[[str, str, str, Path], None]


def pull(entry: CatalogueEntry, models_dir: Path, *, fetch: Fetch | None = None) -> tuple[PulledFile, PulledFile]:
    """Model and projector, downloaded where they are missing, and checked. Blocking, with a progress bar on standard
    error; a download that was cut off goes on where it ended.

    Raises ModelFileMissing that says what to put where when the repository cannot be reached, and ModelFileCorrupt
    for a file that is not what the catalogue names (it is set aside as `….rejected`).
    """
    wanted = (entry.files.model, entry.files.projector)
    paths = entry_paths(entry, models_dir)
    for file, path in zip(wanted, paths, strict=True):
        if not path.is_file():
            _download(entry, file, path, fetch or _from_hugging_face, missing_hint(entry, models_dir))
    require_files(entry, models_dir)
    downloadable = entry.repository is not None
    model, projector = (_check(file, path, downloadable=downloadable) for file, path in zip(wanted, paths, strict=True))
    return model, projector


def _download(entry: CatalogueEntry, file: CatalogueFile, path: Path, fetch: Fetch, hint: str) -> None:
    if entry.repository is None or entry.revision is None:
        raise ModelFileMissing(f"{path} not found: {hint}")
    _log.info("downloading", action="models.pull", repository=entry.repository, file=file.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fetch(entry.repository, file.name, entry.revision, path.parent)
    except OSError as error:
        raise ModelFileMissing(
            f"{file.name} could not be downloaded from {entry.repository} ({type(error).__name__}: {error}): {hint}"
        ) from error


def _check(file: CatalogueFile, path: Path, *, downloadable: bool) -> PulledFile:
    digest = file_digest(path)
    known = None if file.sha256 is None else f"sha256:{file.sha256}"
    try:
        _compare(path, digest, known)
        check_gguf(path)
    except ModelFileCorrupt:
        if downloadable:
            # Out of the way, so that the next pull fetches it anew.
            path.rename(path.with_name(f"{path.name}.rejected"))
        raise
    return PulledFile(path, digest, verified=known is not None)


def _compare(path: Path, digest: str, known: str | None) -> None:
    if known is not None and digest != known:
        raise ModelFileCorrupt(f"{path} is not the file the catalogue names: {digest} instead of {known}")


def _from_hugging_face(repository: str, name: str, revision: str, folder: Path) -> None:
    from huggingface_hub import errors, hf_hub_download  # noqa: PLC0415 - a second to import, needed by this alone

    try:
        hf_hub_download(repo_id=repository, filename=name, revision=revision, local_dir=folder)
    except (errors.HTTPError, errors.XetDownloadError) as error:
        raise ConnectionError(f"{type(error).__name__} from {repository}") from error
