"""Running a chat template with little time and memory: `python -m app.engine.worker.template_process` is the child."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict

from app.engine.worker.template import TemplateForm, render_form
from app.errors import ChatTemplateUnusable

_MOST_TEMPLATE_CHARS = 256 * 1024
_MOST_CPU_S = 2
_MOST_MEMORY_BYTES = 1 << 30
#: The interpreter's start included, on a machine that is busy with other things.
_PATIENCE_S = 30.0
_INHERITED = ("PYTHONPATH", "LD_LIBRARY_PATH", "PATH")


def form_of(template: str, *, bos: str, eos: str) -> TemplateForm:
    """By running the template in a process with limits. `bos` and `eos` are the spellings of those tokens, or nothing.
    Raises ChatTemplateUnusable."""
    if len(template) > _MOST_TEMPLATE_CHARS:
        raise ChatTemplateUnusable(f"the model's chat template is longer than {_MOST_TEMPLATE_CHARS} characters")
    try:
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "app.engine.worker.template_process"],
            input=json.dumps({"template": template, "bos": bos, "eos": eos}).encode(),
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        )
        found = json.loads(ran.stdout)
    except subprocess.TimeoutExpired as error:
        raise ChatTemplateUnusable("the model's chat template does not end") from error
    except (OSError, ValueError) as error:
        raise ChatTemplateUnusable("the model's chat template takes more time or memory than it may") from error
    if "error" in found:
        raise ChatTemplateUnusable(f"the model's chat template cannot be used: {found['error']}")
    return TemplateForm(**found)


def _limit() -> None:
    """Where a system lacks a limit (macOS has none of memory), the parent's patience is left."""
    limits = {
        resource.RLIMIT_CPU: _MOST_CPU_S,
        resource.RLIMIT_AS: _MOST_MEMORY_BYTES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def _main() -> None:
    order = json.loads(sys.stdin.buffer.read())
    _limit()
    try:
        said: dict[str, str] = asdict(render_form(order["template"], bos=order["bos"], eos=order["eos"]))
    except ChatTemplateUnusable as error:
        said = {"error": error.detail}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    _main()
