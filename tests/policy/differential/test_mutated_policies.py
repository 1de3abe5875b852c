"""However a policy file is damaged: it loads, or is refused with at least one line to look at."""

import random
from collections.abc import Callable

import pytest

from app.domain import KeywordList
from app.errors import PolicyInvalid
from app.policy.lists import load_lists
from app.policy.load import build_ruleset
from app.policy.ruleset import Ruleset
from tests.house.tree import ROOT
from tests.policy.differential import examples

SHIPPED = (ROOT / "policies.yaml").read_bytes()
#: What means something to YAML or to a condition, in the wrong place.
PIECES = [
    *(bytes([byte]) for byte in b":-?[]{},#&*!|>'\"%@` \n\t\\.=<()~"),
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", "\x85\u2028é头😀".encode()),
    *(
        b": ",
        b"- ",
        b"\n---\n",
        b"\n--- # file: a.yaml\n",
        b"include: [a.yaml]\n",
        b"<<: ",
        b"!!binary ",
        b"null",
        b".nan",
    ),
    *(b"1e999", b"99999999999999999999", b"-0", b"0x1F", b"true", b"!=", b" || ", b" && ", b"probes.", b"() ", b"% 0"),
    *(
        b"surfaces: {a: {thresholds: {review: 0.1}}}\n",
        b"any: [",
        b"not: ",
        b"in [",
        b"\\ud800",
        b"{pass: {overrides: []}}",
    ),
]


def flip_bit(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def cut(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice([1, 1, 2, 8, 60])]


def put_in(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at] = chance.choice(PIECES)


def replace(data: bytearray, chance: random.Random) -> None:
    piece, at = chance.choice(PIECES), chance.randrange(len(data))
    data[at : at + len(piece)] = piece


def end_early(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(1, len(data)) :]


def edit_lines(data: bytearray, edit: Callable[[list[bytes]], None]) -> None:
    lines = bytes(data).splitlines(keepends=True)
    edit(lines)
    data[:] = b"".join(lines)


def drop_line(data: bytearray, chance: random.Random) -> None:
    edit_lines(data, lambda lines: lines.__delitem__(chance.randrange(len(lines))))


def repeat_line(data: bytearray, chance: random.Random) -> None:
    edit_lines(data, lambda lines: lines.insert(chance.randrange(len(lines)), chance.choice(lines)))


def swap_lines(data: bytearray, chance: random.Random) -> None:
    def swap(lines: list[bytes]) -> None:
        one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]

    edit_lines(data, swap)


def indent(data: bytearray, chance: random.Random) -> None:
    def move(lines: list[bytes]) -> None:
        at = chance.randrange(len(lines))
        spaces = chance.choice([b" ", b"  ", b"    ", b"\t"])
        lines[at] = spaces + lines[at] if chance.random() < 0.5 else lines[at][len(spaces) :] or b"\n"

    edit_lines(data, move)


def swap_words(data: bytearray, chance: random.Random) -> None:
    """Numbers where texts stand, conditions where ids do, and so on."""
    words = data.split(b" ")
    one, other = chance.randrange(len(words)), chance.randrange(len(words))
    words[one], words[other] = words[other], words[one]
    data[:] = b" ".join(words)


EDITS = (
    *(flip_bit, cut, put_in, put_in, replace, end_early),
    *(drop_line, repeat_line, swap_lines, indent, indent, swap_words, swap_words),
)


def damaged(seed: int) -> bytes:
    chance = random.Random(seed)  # noqa: S311 - the same damage every time
    data = bytearray(SHIPPED)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        if data:
            chance.choice(EDITS)(data, chance)
    return bytes(data)


@pytest.fixture(scope="module")
def lists() -> tuple[KeywordList, ...]:
    found, problems = load_lists(ROOT / "rules")
    assert not problems
    return tuple(found)


def load_or_complaint(data: bytes, lists: tuple[KeywordList, ...]) -> Ruleset | PolicyInvalid:
    try:
        return build_ruleset(data, lists)
    except PolicyInvalid as invalid:
        return invalid


def test_a_damaged_policy_loads_or_is_refused_with_a_line(lists: tuple[KeywordList, ...]) -> None:
    refused = 0
    for seed in range(examples(120)):
        data = damaged(seed)
        try:
            end = load_or_complaint(data, lists)
        except Exception as error:
            raise AssertionError(f"the policy damaged with seed {seed} is not refused as one") from error
        if isinstance(end, PolicyInvalid):
            refused += 1
            assert end.problems, f"seed {seed}"
            last = data.count(b"\n") + data.count(b"\r") + 6  # YAML ends lines with \x85 and \u2028 as well
            for problem in end.problems:
                assert problem.message, f"seed {seed}"
                assert 1 <= problem.line <= last, f"seed {seed}: {problem}"
                assert problem.column >= 1, f"seed {seed}: {problem}"
                assert problem.render().startswith(f"{problem.file}:{problem.line}:"), f"seed {seed}"
    assert 0 < refused < examples(120)
