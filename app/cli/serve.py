"""`portcullis serve`."""

import asyncio
import shlex
import socket
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from rich.console import Console

from app.cli.settings import load_settings
from app.errors import ConfigurationError
from app.main import Portcullis, admin_key_path, build, create_app
from app.policy.lasting import look_thoroughly
from app.settings import Settings

commands = typer.Typer(add_completion=False)

#: A picture with a listed term in it, so that the first request of a newcomer is a real one.
_SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "samples" / "forged-papers.png"

#: Requests in work get this long to finish when the service is told to stop, in seconds: the longest deadline.
_GRACE_S = 60


@commands.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (PORTCULLIS_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on (PORTCULLIS_PORT); 0 takes a free one.")
    ] = None,
) -> None:
    """Serve the API and the console until stopped. Everything else is set by PORTCULLIS_* (docs/settings.md)."""
    given = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    settings = load_settings().model_copy(update=given)
    portcullis = build(settings)
    asyncio.run(_run(portcullis, _listen(settings)))


async def _run(portcullis: Portcullis, listener: socket.socket) -> None:
    # Not left to the server: it turns what keeps the service from starting into a long traceback.
    await portcullis.service.start()
    settings = portcullis.settings
    _greet(settings, listener.getsockname()[1], admin_key_path(settings))
    application = create_app(portcullis)
    # What stands now stays until the end: full collections that walked all of it stopped every upload for 0.1 s.
    look_thoroughly()
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        lifespan="on",
    )
    await uvicorn.Server(config).serve(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    """Bound before anything slow starts, so that a port in use is said at once."""
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "another program may use the port (set PORTCULLIS_PORT)"
        ) from error
    return listener


def _greet(settings: Settings, port: int, key_path: Path) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    if settings.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    url = f"http://{host}:{port}"
    picture = shlex.quote(_from_here(_SAMPLE)) if _SAMPLE.exists() else "PICTURE"
    key = shlex.quote(_from_here(key_path))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"Portcullis on {url}   console: {url}/   sign in with the key in {_from_here(key_path)}")
    console.print("Try it (the model takes a moment to load):")
    console.print(f'  curl -sS -H "Authorization: Bearer $(cat {key})" -F file=@{picture} {url}/v1/moderate')


def _from_here(path: Path) -> str:
    """Relative where that is shorter to read, so that a printed command works where it was printed."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
