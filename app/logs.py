"""Structured logs to stderr: text for people, or one JSON object a line. Every line that the service writes itself
carries an `action`; libraries are only heard when something is wrong."""

import io
import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

#: Libraries whose chatter at `info` says nothing an operator can act on.
_QUIET = (
    "aiosqlite",
    "alembic",
    "httpx",
    "huggingface_hub",
    "rapidocr",
    "RapidOCR",
    "uvicorn",
    "watchfiles",
)

#: Warns whenever a job that is still running skips a turn, as it is meant to.
_QUIETER = "apscheduler"


class _StandardError(io.TextIOBase):
    """Whatever standard error is at the moment. Where nobody reads it any more, lines are lost, never the work that
    they tell of: a supervisor that dies of its own log line would leave a service that hangs."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def configure_logs(*, level: str, as_json: bool) -> None:
    """`level` is debug, info, warning or error. Standard library loggers take the same way out."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        # Its usual tracebacks print local variables: pictures, captions, keys.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    tail: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, renderer] if as_json else [renderer]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.getLogger(_QUIETER).setLevel(logging.ERROR)
