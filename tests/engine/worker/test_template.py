"""Chat templates as models bring them: what stands around picture and question, and what a hostile one can do."""

import jinja2
import pytest

from app.engine.worker.template import TemplateForm, render_form
from app.engine.worker.template_process import form_of
from app.errors import ChatTemplateUnusable

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def form(template: str) -> TemplateForm:
    return render_form(template, bos="<s>", eos="</s>")


def test_the_text_around_picture_and_question_is_the_templates() -> None:
    assert form(TURNS) == TemplateForm(
        before_picture="<|im_start|>user\n",
        after_picture="",
        after_question="<|im_end|>\n<|im_start|>assistant\n",
        after_answer="<|im_end|>\n",
    )


def test_a_default_system_message_stands_before_the_picture() -> None:
    found = form("{% if messages[0].role != 'system' %}SYSTEM: be kind\n{% endif %}" + TURNS)

    assert found.before_picture == "SYSTEM: be kind\n<|im_start|>user\n"


@pytest.mark.parametrize(
    "content",
    [
        "{{ m.content }}",
        "{{ m.content | trim }}",
        "{% for part in m.content %}{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}",
        "{{ m['content'][0]['text'] }}",
        "{% if m.content is string %}{{ m.content }}{% else %}{{ raise_exception('parts') }}{% endif %}",
        "{% if m.content is string %}{{ raise_exception('text') }}{% else %}{{ m.content[0].text }}{% endif %}",
    ],
)
def test_messages_of_text_and_of_parts_are_both_known(content: str) -> None:
    found = form(TURNS.replace("{{ m.content }}", content))

    assert found == form(TURNS)


def test_it_has_the_tokens_and_helpers_that_templates_expect() -> None:
    found = form(
        "{{ bos_token }}{{ strftime_now('%Y') }}{{ {'a': '<é>'} | tojson }}"
        "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% generation %}A:{% endgeneration %}"
    )

    assert found.before_picture == '<s>2025{"a": "<é>"}'
    assert found.after_question == "</s>A:"


def test_the_same_template_gives_the_same_text_on_every_day() -> None:
    assert form("{{ strftime_now('%d %b %Y') }}" + TURNS).before_picture.startswith("01 Jan 2025")


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}", "<think>\n\n</think>\n\n"),
        ("<think>\n", "<think>\n\n</think>\n\n"),
        ("<think>", "<think>\n\n</think>\n\n"),
        ("{% if not enable_thinking %}{% else %}<think>{% endif %}", ""),
    ],
)
def test_an_answer_is_read_after_the_thought_and_not_in_it(ending: str, expected: str) -> None:
    found = form(TURNS.replace("assistant\n{% endif %}", f"assistant\n{ending}{{% endif %}}"))

    assert found.after_question == f"<|im_end|>\n<|im_start|>assistant\n{expected}"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("hello", "does not write a message exactly once"),
        ("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}:", "does not write a message exactly once"),
        ("{{ messages[0].content }}", "nothing between the question and the answer"),
        ("{{ messages[0].content[::-1] }}", "does not know messages of parts"),
        ("{{ messages[0].content | list | tojson }}:", "does not know messages of parts"),
        ("{% if %}", "is not valid"),
        ("{% for m in messages %}", "is not valid"),
        ("{{ raise_exception('only texts') }}", "only texts"),
        ("{{ messages[0].nothing.at_all }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ cycler.__init__.__globals__.os.system('true') }}", "unsafe"),
        ("{% for n in range(9999) %}{{ 'x' * 99 }}{% endfor %}", "writes more than 65536 characters"),
    ],
)
def test_a_template_that_cannot_serve_says_why(template: str, sentence: str) -> None:
    with pytest.raises(ChatTemplateUnusable, match=sentence):
        form(template)


def test_a_file_cannot_be_read_from_a_template() -> None:
    with pytest.raises(ChatTemplateUnusable, match="no loader"):
        form("{% include '/etc/passwd' %}" + TURNS)


def test_another_process_gives_the_same() -> None:
    assert form_of(TURNS, bos="<s>", eos="</s>") == form(TURNS)


def test_what_another_process_refuses_is_told() -> None:
    with pytest.raises(ChatTemplateUnusable, match="chat template cannot be used: it fails with TemplateError: only"):
        form_of("{{ raise_exception('only texts') }}", bos="", eos="")


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10**11 }}",
        "{{ '%*d' % (2 * 10**9, 1) }}",
    ],
    ids=["endless", "memory", "padding"],
)
def test_a_template_that_would_take_the_machine_is_ended(template: str) -> None:
    with pytest.raises(ChatTemplateUnusable, match="more time or memory than it may"):
        form_of(template, bos="", eos="")


def test_a_template_too_long_is_not_run() -> None:
    with pytest.raises(ChatTemplateUnusable, match="longer than 262144 characters"):
        form_of("x" * 262_145, bos="", eos="")


def test_the_environment_is_a_sandbox() -> None:
    """The control: outside of one the same template reaches what it must not."""
    reaches = "{{ ''.__class__.__mro__ }}"

    assert "object" in jinja2.Environment(autoescape=False).from_string(reaches).render()  # noqa: S701
