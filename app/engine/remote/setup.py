"""From the operator's settings to a RemoteConfig."""

from pathlib import Path

from pydantic import SecretStr

from app.engine.base import AnswerWords
from app.engine.catalogue import DEFAULT_WORDS, Catalogue
from app.engine.remote.config import RemoteConfig, server_url


def remote_config(
    catalogue: Catalogue,
    url: str,
    *,
    key: SecretStr | None,
    model: str | None,
    model_digest: str | None,
    chat_form: str | None,
    ca_file: Path | None,
    concurrency: int,
    timeout_s: float,
    top_logprobs: int,
) -> RemoteConfig:
    """What counts as yes and no comes from the catalogue's entry `chat_form`; the chat form itself is the server's.
    A digest of the catalogue's demonstration model makes it one. Raises ConfigurationError."""
    words = catalogue.entry(chat_form or DEFAULT_WORDS).words
    demonstrations = {f"sha256:{entry.files.model.sha256}" for entry in catalogue.models if entry.demonstration}
    return RemoteConfig(
        url=server_url(url),
        words=AnswerWords(yes=words.yes, no=words.no),
        key=key,
        model=model,
        model_digest=model_digest,
        demonstration=model_digest in demonstrations,
        ca_file=ca_file,
        concurrency=concurrency,
        timeout_s=timeout_s,
        top_logprobs=top_logprobs,
    )
