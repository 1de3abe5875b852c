"""Whether a pair of model files can be started, found out before a process is."""

from dataclasses import dataclass
from pathlib import Path

from app.engine.base import ModelFiles
from app.engine.digests import FileStamp, file_digest, stamp
from app.engine.gguf import check_gguf
from app.errors import ModelFileCorrupt, ModelFileMissing

#: What llama.cpp's projectors call themselves.
_PROJECTOR_ARCHITECTURE = "clip"


@dataclass(frozen=True, slots=True)
class CheckedFiles:
    """Digests are `sha256:…` of the bytes that `stamps` describe."""

    model_digest: str
    projector_digest: str
    stamps: tuple[FileStamp, FileStamp]

    def unchanged(self) -> bool:
        """Whether the files are still those that were checked."""
        try:
            return self.stamps == tuple(stamp(held.path) for held in self.stamps)
        except OSError:
            return False


def check_files(files: ModelFiles) -> CheckedFiles:
    """Blocking; reads both files whole the first time. Raises ModelFileMissing and ModelFileCorrupt."""
    stamps = (_stamp(files, files.model), _stamp(files, files.projector))
    model_digest = _checked(files.model, files.model_digest, projector=False)
    projector_digest = _checked(files.projector, files.projector_digest, projector=True)
    return CheckedFiles(model_digest, projector_digest, stamps)


def _stamp(files: ModelFiles, path: Path) -> FileStamp:
    if not path.is_file():
        hint = f": {files.missing_hint}" if files.missing_hint else ""
        raise ModelFileMissing(f"{path} not found{hint}")
    try:
        return stamp(path)
    except OSError as error:
        raise ModelFileMissing(f"{path} cannot be read: {error.strerror}") from error


def _checked(path: Path, known: str | None, *, projector: bool) -> str:
    try:
        facts = check_gguf(path)
        digest = file_digest(path)
    except OSError as error:
        raise ModelFileMissing(f"{path} cannot be read: {error.strerror}") from error
    if projector != (facts.architecture == _PROJECTOR_ARCHITECTURE):
        wanted, given = ("projector", "model") if projector else ("model", "projector")
        raise ModelFileCorrupt(f"{path} is a {given} ('{facts.architecture}') where the {wanted} should be")
    if known is not None and digest != known:
        raise ModelFileCorrupt(f"{path} is not the file the catalogue names: {digest} instead of {known}")
    return digest
