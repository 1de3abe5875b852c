"""The console: server-rendered pages that work without JavaScript and without anything from elsewhere."""

from app.web.console import console_handlers
from app.web.problems import problem_page

__all__ = ["console_handlers", "problem_page"]
