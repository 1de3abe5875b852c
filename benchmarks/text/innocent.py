"""Ordinary sentences, made from patterns of everyday English and Chinese, with the classic traps among them: words
that hold a listed word, words that sound or look like one, codes and numbers that look like disguises."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_CORPUS = _HERE.parents[1] / "tests" / "signals" / "corpus"

_EN_PATTERNS = (
    "{who} {did} {thing} {when}.",
    "{who} {did} {thing} near {place}, {tail}.",
    "In {place}, {who} {did} {thing} {tail}.",
    "{when}, {who} and {who} {did} {thing}.",
    "Did {who} really see {thing} in {place} {when}?",
    "{thing}, {thing} and {thing}: {tail}.",
    "Please bring {thing} to {place} {when}!",
    "The sex of the panda born in {place} {when} is not known yet.",
    "{who} teaches sex education in {place} {when}.",
    "I can't wait to see {thing}; {who} said so {when}.",
    "N o t e: {thing} is for {who}, {tail}.",
    "C L A S S {when}: {who}, {place}.",
    "{thing}\n{place}\n{when}\n{who}",
    "Tel. 020-5555-0199, {place}, ask for {who} ({when}).",
    "Weed the beds behind {place} {when}, said {who}.",
)

_ZH_PATTERNS = (
    "{when}{who}在{place}{did}{thing}。",
    "{who}{did}{thing}，{tail}。",
    "{place}的{who}说：“{tail}。”",
    "{when}，{who}和{who}一起{did}{thing}，{tail}！",
    "请问{place}怎么走？{tail}。",
    "{thing}、{thing}和{thing}都在{place}。",
    "{who} {did} {thing} {when}",
    "关于{thing}的说明：{tail}；{tail}。",
    "{who}：{thing}\n{place}\n{when}",
    "温馨提示：{tail}，{tail}。",
    "本店提供{thing}，欢迎到{place}选购，{tail}。",
    "{who}说他妈妈{when}{did}{thing}。",
    "中国共产党{when}在{place}召开会议。",
    "女子{when}在{place}{did}{thing}。",
    "日月同辉，{who}{when}在{place}拍照。",
)


def sentences(count: int, *, seed: int = 6) -> list[str]:
    """So many different ones, half of each language, and those that the tests keep."""
    rng = random.Random(seed)  # noqa: S311 - the same sentences every time
    kept = [
        line
        for language in ("en", "zh")
        for line in (_CORPUS / f"innocent_{language}.txt").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    found = dict.fromkeys(kept)
    makers = (_made(_EN_PATTERNS, _words("en"), rng), _made(_ZH_PATTERNS, _words("zh"), rng))
    while len(found) < count:
        for maker in makers:
            found.setdefault(next(maker))
    return list(found)[:count]


def _made(patterns: Sequence[str], words: dict[str, list[str]], rng: random.Random) -> Iterator[str]:
    while True:
        text = rng.choice(patterns)
        for slot, choices in words.items():
            while f"{{{slot}}}" in text:
                text = text.replace(f"{{{slot}}}", rng.choice(choices), 1)
        yield text[0].upper() + text[1:]


def _words(language: str) -> dict[str, list[str]]:
    slots: dict[str, list[str]] = {}
    for line in (_HERE / f"innocent_words_{language}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            slots[line.strip("[]")] = []
        elif not line.startswith("#"):
            slots[list(slots)[-1]].append(line)
    return slots
