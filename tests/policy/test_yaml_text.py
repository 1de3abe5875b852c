import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.policy.yaml_text import MAX_BYTES, MAX_DEPTH, read_yaml


def value_of(text: str) -> object:
    value, _, problems = read_yaml(text.encode(), "p.yaml")
    assert problems == []
    return value


@pytest.mark.parametrize("word", ["NO", "no", "yes", "on", "off", "12:30", "2026-11-01", "0x10", "1_000", "=", "<<"])
def test_words_of_yaml_1_1_stay_text(word: str) -> None:
    assert value_of(f"key: {word}") == {"key": word}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("010", 10),
        ("-3", -3),
        ("0.9", 0.9),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("1.", 1.0),
    ],
)
def test_values_of_the_core_schema(word: str, value: object) -> None:
    read = value_of(f"key: {word}")
    assert read == {"key": value}
    assert type(read["key"]) is type(value)  # type: ignore[index]


def test_a_number_of_thousands_of_digits_is_no_trap() -> None:
    assert value_of("key: " + "9" * 6000) == {"key": float("inf")}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x" * (MAX_BYTES + 1), "larger than"),
        (b"a: \xff", "not UTF-8"),
        (b"a: \x01", "a character that YAML does not allow"),
        (b"[" * (MAX_DEPTH + 1), "nested deeper"),
        (b"{a: " * 5000, "nested deeper"),
        (b"", "empty"),
        (b"# only a comment\n", "empty"),
        (b"a: 1\n---\nb: 2\n", "one document"),
    ],
)
def test_what_is_refused_outright(data: bytes, said: str) -> None:
    value, _, problems = read_yaml(data, "p.yaml")
    assert value is None
    assert len(problems) == 1
    assert said in problems[0].message


@pytest.mark.parametrize("escape", [r"\ud800", r"\uDFFF", r"\0", r"\x00", r"\U0000D800"])
def test_text_that_could_not_be_stored_is_refused_where_it_stands(escape: str) -> None:
    value, _, problems = read_yaml(f'a: fine\nb: "x {escape}"\n"k{escape}": 1\n'.encode(), "p.yaml")
    assert [(problem.line, problem.column) for problem in problems] == [(2, 4), (3, 1)]
    assert all("surrogate" in problem.message for problem in problems)
    json.dumps(value, ensure_ascii=False).encode()  # what quotes it can be told


def test_escapes_of_whole_characters_are_read() -> None:
    value, _, problems = read_yaml(rb'a: "\u00e9 \U0001F600 \n"', "p.yaml")
    assert (value, problems) == ({"a": "\u00e9 \U0001f600 \n"}, [])


def test_a_bomb_of_aliases_is_never_unfolded() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    _, _, problems = read_yaml("\n".join(lines).encode(), "p.yaml")
    assert len(problems) == 101  # and no more are told


def test_a_mark_and_a_byte_order_mark_do_not_move_positions() -> None:
    _, source, _ = read_yaml("\ufeffa: 1\r\nb: {c: 2}\r\n".encode(), "p.yaml")
    problem = source.problem(("b", "c"), "here")
    assert (problem.line, problem.column, problem.source_line) == (2, 8, "b: {c: 2}")


WORDS = st.text(alphabet="ab '\"\\&|>()名\n", min_size=1, max_size=40).filter(lambda text: text.strip() == text)


@given(WORDS, st.sampled_from([None, "'", '"', "|", ">"]), st.data())
def test_a_place_in_a_scalar_is_found_in_the_file(text: str, style: str | None, data: st.DataObject) -> None:
    dumped = yaml.dump({"deep": [{"when": text}]}, default_style=None, allow_unicode=True, width=20)
    if style is not None:
        node = yaml.representer.SafeRepresenter().represent_data({"deep": [{"when": text}]})
        node.value[0][1].value[0].value[0][1].style = style
        dumped = yaml.serialize(node, allow_unicode=True, width=20)
    value, source, problems = read_yaml(dumped.encode(), "p.yaml")
    assert not problems
    read = value["deep"][0]["when"]
    at = data.draw(st.sampled_from([index for index, char in enumerate(read) if not char.isspace()]))
    problem = source.problem(("deep", 0, "when"), "here", after=read[:at])
    assert problem.source_line is not None
    assert problem.source_line[problem.column - 1] in (read[at], "\\")
