"""What a model's own chat template puts around a picture and a question.

The template is a Jinja program that came with the weights, so it is run as one that nobody vouches for: in a sandbox
here, and by `template_process` with little time and memory.
"""

import datetime
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.errors import ChatTemplateUnusable

_MOST_RENDERED_CHARS = 64 * 1024
_MOST_REASON_CHARS = 300

#: Plain capitals: no template trims, escapes or cuts them.
_PICTURE, _QUESTION, _ANSWER = "PORTCULLISPICTURE", "PORTCULLISQUESTION", "PORTCULLISANSWER"
#: A template that writes the date of today would ask something else every day.
_ALWAYS = datetime.date(2025, 1, 1)
#: What a template that takes a list of parts for a text makes of it.
_PART_AS_WRITTEN = ("'type': 'text'", '"type": "text"')
_THINKS = re.compile(r"<think>(?!.*</think>)\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TemplateForm:
    """The text around picture and question, and what ends an answer. The picture comes first, so that all questions of
    one picture share what stands before them."""

    before_picture: str
    after_picture: str
    after_question: str
    after_answer: str


def render_form(template: str, *, bos: str, eos: str) -> TemplateForm:
    """Here and now, without limits of time and memory. Raises ChatTemplateUnusable."""
    try:
        compiled = _environment().from_string(template)
    except jinja2.TemplateError as error:
        raise ChatTemplateUnusable(f"it is not valid: {error}"[:_MOST_REASON_CHARS]) from error
    except RecursionError as error:
        raise ChatTemplateUnusable("it is nested too deeply") from error

    def run(messages: list[dict[str, object]], *, asks: bool) -> str:
        return _run(compiled, messages=messages, add_generation_prompt=asks, bos_token=bos, eos_token=eos)

    reasons = []
    for content in _as_text, _as_parts:
        user = {"role": "user", "content": content(f"{_PICTURE}{_QUESTION}")}
        try:
            before, middle, after = _split(run([user], asks=True))
        except ChatTemplateUnusable as error:
            reasons.append(error.detail)
            continue
        ended = _after_answer(run, [user, {"role": "assistant", "content": content(_ANSWER)}])
        return TemplateForm(before, middle, _without_thinking(after), ended)
    raise ChatTemplateUnusable("; ".join(dict.fromkeys(reasons)))


def _as_text(text: str) -> object:
    return text


def _as_parts(text: str) -> object:
    """Some templates know a message only as a list of parts."""
    return [{"type": "text", "text": text}]


def _run(compiled: jinja2.Template, **variables: Any) -> str:
    pieces, length = [], 0
    try:
        for piece in compiled.generate(variables | {"enable_thinking": False, "tools": None, "documents": None}):
            length += len(piece)
            if length > _MOST_RENDERED_CHARS:
                raise ChatTemplateUnusable(f"it writes more than {_MOST_RENDERED_CHARS} characters")
            pieces.append(piece)
    except (
        jinja2.TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as e:
        raise ChatTemplateUnusable(f"it fails with {type(e).__name__}: {e}"[:300]) from e
    return "".join(pieces)


def _split(text: str) -> tuple[str, str, str]:
    if any(written in text for written in _PART_AS_WRITTEN):
        raise ChatTemplateUnusable("it does not know messages of parts")
    if text.count(_PICTURE) != 1 or text.count(_QUESTION) != 1:
        raise ChatTemplateUnusable("it does not write a message exactly once")
    before, _, rest = text.partition(_PICTURE)
    if _QUESTION not in rest:
        raise ChatTemplateUnusable("it writes the question before the picture")
    middle, _, after = rest.partition(_QUESTION)
    if not after:
        raise ChatTemplateUnusable("it writes nothing between the question and the answer")
    return before, middle, after


def _after_answer(run: Callable[..., str], messages: list[dict[str, object]]) -> str:
    """Nothing where the template cannot tell: the vocabulary has its own ends."""
    try:
        _, answer, after = run(messages, asks=False).partition(_ANSWER)
    except ChatTemplateUnusable:
        return ""
    return after if answer else ""


def _without_thinking(after_question: str) -> str:
    """Some templates begin a chain of thought whatever they are told. The first token of an answer is read, so the
    thought is ended before it."""
    if _THINKS.search(after_question):
        return f"{after_question.rstrip()}\n\n</think>\n\n"
    return after_question


class _Generation(Extension):
    """`{% generation %}` marks for training what the assistant writes; the text is the same without it."""

    tags = {"generation"}  # noqa: RUF012 - as the base class has it

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> jinja2.Environment:
    """As the templates of Hugging Face expect it."""
    found = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation], autoescape=False
    )
    found.globals["raise_exception"] = _refuse
    found.globals["strftime_now"] = _ALWAYS.strftime
    found.filters["tojson"] = _to_json
    return found


def _refuse(message: object) -> NoReturn:
    raise jinja2.TemplateError(str(message))


def _to_json(value: object, indent: int | None = None, **_: object) -> str:
    """Jinja's own escapes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
