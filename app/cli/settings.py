"""Settings from the environment, with a sentence instead of a traceback when one is wrong."""

from pydantic import ValidationError

from app.errors import ConfigurationError
from app.settings import Settings


def load_settings() -> Settings:
    """Raises ConfigurationError that names every wrong variable."""
    try:
        return Settings()
    except ValidationError as invalid:
        wrong = []
        for error in invalid.errors(include_url=False):
            name = "_".join(str(part) for part in error["loc"]).upper()
            message = error["msg"].removeprefix("Value error, ")
            wrong.append(f"PORTCULLIS_{name}: {message} (got {error['input']!r})")
        raise ConfigurationError("; ".join(wrong)) from invalid
