"""The known models of `models/catalogue.yaml`, and how a setting becomes a pair of files."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from app.domain import Value
from app.engine import base
from app.engine.digests import file_digest
from app.errors import ConfigurationError, ModelFileMissing

#: The entry whose words and token budget a model given by path uses when none is named.
DEFAULT_WORDS = "youtu-vl-4b"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class CatalogueFile(Value):
    """`sha256` (hex) and `bytes` are None where they are not known."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.gguf$")]
    sha256: Sha256 | None
    bytes: Annotated[int, Field(gt=0)] | None


class CatalogueFiles(Value):
    model: CatalogueFile
    projector: CatalogueFile


class CatalogueForm(Value):
    before_picture: str
    after_picture: str
    after_question: Text


class CatalogueWords(Value):
    yes: Annotated[tuple[Text, ...], Field(min_length=1)]
    no: Annotated[tuple[Text, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _sides_differ(self) -> Self:
        if both := sorted(set(self.yes) & set(self.no)):
            raise ValueError(f"{', '.join(both)} cannot mean both yes and no")
        return self


class CatalogueEntry(Value):
    """One model. `repository` is on Hugging Face; None for a model that ships with the project. `picture_tokens` is
    the most that one picture may take of the context. `chat_form` is `template` where the model's own file says it."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: Text
    repository: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")] | None
    revision: Text | None
    files: CatalogueFiles
    chat_form: Literal["template"] | CatalogueForm
    words: CatalogueWords
    picture_tokens: Annotated[int, Field(ge=1, le=16384)]
    licence: Text
    note: Text
    demonstration: bool

    @model_validator(mode="after")
    def _downloadable(self) -> Self:
        if (self.repository is None) != (self.revision is None):
            raise ValueError("repository and revision belong together")
        return self


class Catalogue(Value):
    models: Annotated[tuple[CatalogueEntry, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_unique(self) -> Self:
        ids = [entry.id for entry in self.models]
        if len(set(ids)) < len(ids):
            raise ValueError("two models have the same id")
        return self

    def entry(self, model_id: str) -> CatalogueEntry:
        """Raises ConfigurationError with the ids that exist."""
        for entry in self.models:
            if entry.id == model_id:
                return entry
        known = ", ".join(entry.id for entry in self.models)
        raise ConfigurationError(f"there is no model '{model_id}' in the catalogue; it has {known}")


def load_catalogue(path: Path) -> Catalogue:
    """Raises ConfigurationError that names every problem."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Catalogue.model_validate(raw)
    except OSError as error:
        raise ConfigurationError(f"the model catalogue {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the model catalogue {path} is not YAML: {error}") from error
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'catalogue'}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError(f"the model catalogue {path} is wrong: {'; '.join(problems)}") from error


def entry_paths(entry: CatalogueEntry, models_dir: Path) -> tuple[Path, Path]:
    """Where model and projector of this entry must lie, whether they do or not."""
    folder = models_dir / entry.id
    return folder / entry.files.model.name, folder / entry.files.projector.name


def missing_hint(entry: CatalogueEntry, models_dir: Path) -> str:
    model, projector = entry_paths(entry, models_dir)
    if entry.repository is None:
        return f"they ship with Portcullis: restore {model} and {projector} from its source"
    return (
        f"run `portcullis models pull {entry.id}`, or, on a machine without internet, download "
        f"{entry.files.model.name} and {entry.files.projector.name} from https://huggingface.co/{entry.repository} "
        f"(revision {entry.revision}) elsewhere and put them at {model} and {projector}"
    )


def require_files(entry: CatalogueEntry, models_dir: Path) -> tuple[Path, Path]:
    """The paths of files that are there. Raises ModelFileMissing that says which to put where."""
    paths = entry_paths(entry, models_dir)
    if absent := [str(path) for path in paths if not path.is_file()]:
        raise ModelFileMissing(f"{' and '.join(absent)} not found: {missing_hint(entry, models_dir)}")
    return paths


def resolve(
    catalogue: Catalogue,
    model: str,
    *,
    models_dir: Path,
    projector: Path | None = None,
    chat_form: str | None = None,
) -> base.ModelFiles:
    """What to start for a model setting: an id of the catalogue, or the path of a GGUF file with its projector. Without
    `chat_form`, the id of an entry that lends its own, a file given by path is asked in the form of its own template.

    Does not look whether the files are there: a missing one is a state of the engine, not a reason not to serve.
    Raises ConfigurationError for an unknown id and for a path without its projector.
    """
    if _looks_like_path(model):
        return _from_path(catalogue, Path(model).expanduser(), projector, chat_form)
    entry = catalogue.entry(model)
    if projector is not None or chat_form is not None:
        raise ConfigurationError(f"the model '{model}' comes with projector and chat form; give those only with a path")
    model_path, projector_path = entry_paths(entry, models_dir)
    return base.ModelFiles(
        name=entry.id,
        model=model_path,
        projector=projector_path,
        chat_form=_form(entry),
        words=base.AnswerWords(yes=entry.words.yes, no=entry.words.no),
        picture_tokens=entry.picture_tokens,
        demonstration=entry.demonstration,
        model_digest=_named(entry.files.model.sha256),
        projector_digest=_named(entry.files.projector.sha256),
        missing_hint=missing_hint(entry, models_dir),
    )


def _form(entry: CatalogueEntry) -> base.ChatForm | None:
    return None if entry.chat_form == "template" else base.ChatForm(**entry.chat_form.model_dump())


def _from_path(catalogue: Catalogue, model: Path, projector: Path | None, chat_form: str | None) -> base.ModelFiles:
    if projector is None:
        raise ConfigurationError(f"the model {model} is given by path, so its projector must be given too")
    like = catalogue.entry(chat_form or DEFAULT_WORDS)
    return base.ModelFiles(
        name=model.stem,
        model=model,
        projector=projector,
        chat_form=None if chat_form is None else _form(like),
        words=base.AnswerWords(yes=like.words.yes, no=like.words.no),
        picture_tokens=like.picture_tokens,
        demonstration=like.demonstration or _is_demonstration(catalogue, model),
        missing_hint="PORTCULLIS_MODEL and PORTCULLIS_PROJECTOR must name files that exist",
    )


def _is_demonstration(catalogue: Catalogue, model: Path) -> bool:
    """A demonstration model stays one under another name."""
    known = [entry.files.model for entry in catalogue.models if entry.demonstration]
    if not model.is_file() or model.stat().st_size not in {file.bytes for file in known}:
        return False
    return file_digest(model) in {_named(file.sha256) for file in known}


def _looks_like_path(model: str) -> bool:
    return "/" in model or model.endswith(".gguf") or re.match(r"^[.~]", model) is not None


def _named(sha256: str | None) -> str | None:
    return None if sha256 is None else f"sha256:{sha256}"
