"""Where the remote model is, and how patient to be with it."""

import re
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.engine.base import AnswerWords
from app.errors import ConfigurationError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """`url` is the API's base as `server_url` returns it. `model` is what the server calls it; None takes the only one
    it serves. `model_digest` (`sha256:…`) is what the operator says the weights are: no server proves it. At most
    `concurrency` requests are under way. `timeout_s` bounds one request, the job's deadline all of its own.

    The server counts as down after `failures_to_open` failures within `failure_window_s` without one success between
    them; it is then tried at once, after `first_pause_s`, and after pauses that double up to `longest_pause_s`. While
    it is up and nothing is heard of it, it is looked after so often.
    """

    url: str
    words: AnswerWords
    key: SecretStr | None = None
    model: str | None = None
    model_digest: str | None = None
    demonstration: bool = False
    ca_file: Path | None = None
    concurrency: int = 16
    timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    top_logprobs: int = 20
    attempts: int = 4
    failures_to_open: int = 5
    failure_window_s: float = 30.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    look_every_s: float = 15.0

    def __post_init__(self) -> None:
        """Raises ConfigurationError, never with the key in it."""
        if self.key is not None and not re.fullmatch(r"[\x21-\x7e]+", self.key.get_secret_value()):
            raise ConfigurationError("PORTCULLIS_ENGINE_KEY must be printable ASCII without spaces")
        if self.model_digest is not None and not _DIGEST.fullmatch(self.model_digest):
            raise ConfigurationError("PORTCULLIS_ENGINE_MODEL_DIGEST must be sha256: and 64 hexadecimal digits")
        self.trust()

    def trust(self) -> ssl.SSLContext | None:
        """Whose certificates are accepted; None for the public ones. Raises ConfigurationError."""
        if self.ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=str(self.ca_file))
        except ssl.SSLError as error:
            raise ConfigurationError(f"PORTCULLIS_ENGINE_CA_FILE: {self.ca_file} holds no certificates") from error
        except OSError as error:
            raise ConfigurationError(f"PORTCULLIS_ENGINE_CA_FILE: {self.ca_file}: {error.strerror}") from error

    @property
    def cleartext(self) -> bool:
        """Whether pictures and key cross a network unencrypted."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def server_url(text: str) -> str:
    """The base of the API, ending in `/v1`, from an address with or without it. Raises ConfigurationError, which does
    not repeat the address: a password may be in it."""
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError("PORTCULLIS_ENGINE_URL is not a web address") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("PORTCULLIS_ENGINE_URL must not hold credentials: set PORTCULLIS_ENGINE_KEY")
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError("PORTCULLIS_ENGINE_URL must begin with http:// or https:// and name a host")
    if parts.query or parts.fragment or not text.strip().isprintable() or " " in text.strip():
        raise ConfigurationError("PORTCULLIS_ENGINE_URL must be an address without a query, a fragment or spaces")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path if path.endswith('/v1') else f'{path}/v1'}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
