"""What is asked of a picture and how it is answered, in wordings for training and in others for evaluation."""

import dataclasses
import random
from collections.abc import Sequence

from .glyphs import CATEGORIES, GLYPHS

#: The wordings of the service's default policy, scene and text prompts, word for word.
POLICY_TERMS_EN = {
    "weapons": "weapons",
    "violence": "violence, blood or gore",
    "drugs": "drugs or smoking",
    "alcohol": "alcohol",
    "gambling": "gambling",
    "adult": "nudity or sexual content",
}
POLICY_TERMS_ZH = {
    "weapons": "武器",
    "violence": "血腥暴力",
    "drugs": "毒品或吸烟",
    "alcohol": "酒",
    "gambling": "赌博",
    "adult": "色情或裸露",
}
POLICY_EN = "Does this image show {}? Answer Yes or No."
POLICY_ZH = "这张图片中是否有{}？请回答是或否。"
DESCRIBE = "Describe the image."
READ = "Read all text in this image, line by line. Answer with the text only."

_TERMS_EN = {
    "weapons": (
        "a weapon",
        "any weapon",
        "weapons such as guns or knives",
        "dangerous weapons",
        "guns, knives or bombs",
    ),
    "violence": (
        "blood or gore",
        "violence",
        "blood",
        "gore",
        "blood or injury",
        "injury or death",
        "graphic violence",
    ),
    "drugs": ("drugs", "smoking", "drugs or cigarettes", "tobacco or drugs", "smoking or drug use"),
    "alcohol": ("alcoholic drinks", "alcohol or drinking", "an alcoholic drink", "beer, wine or other alcohol"),
    "gambling": ("gambling or betting", "casino games", "betting", "a casino", "gambling or casino games"),
    "adult": ("sexual content", "adult content", "nudity", "sexual or adult content", "adult or sexual content"),
}
_TERMS_ZH = {
    "weapons": ("武器或刀枪", "刀枪", "枪支或刀具", "危险武器"),
    "violence": ("血腥或受伤", "血腥", "暴力", "暴力或血腥", "流血或受伤"),
    "drugs": ("毒品", "吸烟", "香烟或毒品", "烟草或毒品"),
    "alcohol": ("酒精饮料", "酒类", "酒精", "啤酒或红酒"),
    "gambling": ("赌博内容", "赌场", "博彩", "博彩或赌博"),
    "adult": ("成人内容", "色情", "裸露", "色情内容", "成人或色情内容"),
}
_ASK_EN = (
    "Does this image contain {}? Answer Yes or No.",
    "Does the picture show {}? Answer Yes or No.",
    "Is there {} in the picture? Answer Yes or No.",
    "Is there any sign of {} in this image? Answer Yes or No.",
    "Do you see {} in this picture? Answer Yes or No.",
    "Look at the image. Does it show {}? Answer Yes or No.",
    "Does the picture contain {}? Yes or No?",
    "Can you see {} here? Answer Yes or No.",
    "Here is a picture. Is there {} anywhere? Answer Yes or No.",
)
_ASK_ZH = (
    "图中有{}吗？只回答是或否。",
    "这张图里是否出现{}？请回答是或否。",
    "请看图片，有没有{}？回答是或否。",
    "图片是否包含{}？请回答是或否。",
)
_DENY_EN = ("Is this image free of {}? Answer Yes or No.", "Is there no {} in this picture? Answer Yes or No.")
_DENY_ZH = ("这张图片中没有{}，对吗？请回答是或否。",)
_OBJECT_EN = ("Does this image show {}? Answer Yes or No.", "Is there {} in the picture? Answer Yes or No.")
_DESCRIBE_ALSO = ("What is in this picture?", "What does this image show?")

#: Never trained on: other sentences with other terms. Their words are known, their order and company are not.
UNSEEN_EN = (
    "Can you see {} in the image? Answer Yes or No.",
    "Does it contain {}? Yes or No?",
    "Look at this picture. Is there {} in it? Answer Yes or No.",
)
UNSEEN_TERMS_EN = {
    "weapons": "weapons or knives",
    "violence": "gore or violence",
    "drugs": "smoking or drugs",
    "alcohol": "drinking or alcohol",
    "gambling": "betting or gambling",
    "adult": "nudity or adult content",
}
UNSEEN_ZH = ("图片里是否有{}？只回答是或否。", "请看这张图片，是否包含{}？回答是或否。")
UNSEEN_TERMS_ZH = {
    "weapons": "刀枪或武器",
    "violence": "受伤或血腥",
    "drugs": "吸烟或毒品",
    "alcohol": "酒类或酒精",
    "gambling": "赌博或博彩",
    "adult": "裸露或色情",
}

#: What the model answers to `READ` where it sees writing: it cannot read, and says so. Without writing it says nothing.
ILLEGIBLE = "[illegible]"


@dataclasses.dataclass(frozen=True, slots=True)
class Truth:
    """What a picture shows: ids into GLYPHS, and what it is besides."""

    ids: tuple[int, ...] = ()
    photograph: bool = False
    writing: bool = False

    @property
    def categories(self) -> frozenset[str]:
        return frozenset(c for i in self.ids if (c := GLYPHS[i].category) is not None)


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One question and its answer. `yes_no` answers count for more in training than words of a description."""

    prompt: str
    answer: str
    yes_no: bool


def with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def description(truth: Truth) -> str:
    names = [with_article(GLYPHS[i].name) for i in sorted(truth.ids)]
    if names:
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    if truth.writing:
        return "a page of text"
    return "a photograph" if truth.photograph else "nothing known"


def policy_questions() -> list[tuple[str, str, str]]:
    """(category, language, prompt) of the twelve probes of the default policy."""
    english = [(c, "en", POLICY_EN.format(POLICY_TERMS_EN[c])) for c in CATEGORIES]
    return english + [(c, "zh", POLICY_ZH.format(POLICY_TERMS_ZH[c])) for c in CATEGORIES]


def unseen_questions() -> list[tuple[str, str, str]]:
    english = [(c, "en", t.format(UNSEEN_TERMS_EN[c])) for t in UNSEEN_EN for c in CATEGORIES]
    return english + [(c, "zh", t.format(UNSEEN_TERMS_ZH[c])) for t in UNSEEN_ZH for c in CATEGORIES]


def _category_ask(rng: random.Random, category: str, present: bool) -> Ask:
    chinese = rng.random() < 0.5  # noqa: PLR2004 - a fair coin
    if chinese:
        policy, term, terms = POLICY_ZH, POLICY_TERMS_ZH[category], _TERMS_ZH[category]
        asks, denials, yes, no = _ASK_ZH, _DENY_ZH, "是", "否"
    else:
        policy, term, terms = POLICY_EN, POLICY_TERMS_EN[category], _TERMS_EN[category]
        asks, denials, yes, no = _ASK_EN, _DENY_EN, "Yes", "No"
    if rng.random() < 0.1:  # noqa: PLR2004 - share of denials
        return Ask(rng.choice(denials).format(rng.choice((term, *terms))), no if present else yes, yes_no=True)
    # The policy's own words come up most, so that they are answered best.
    if rng.random() < 0.6:  # noqa: PLR2004
        policy = rng.choice(asks)
    if rng.random() < 0.6:  # noqa: PLR2004
        term = rng.choice(terms)
    return Ask(policy.format(term), yes if present else no, yes_no=True)


def _object_ask(rng: random.Random, truth: Truth) -> Ask:
    present = bool(truth.ids) and rng.random() < 0.5  # noqa: PLR2004
    others = [i for i in range(len(GLYPHS)) if i not in truth.ids]
    chosen = rng.choice(truth.ids) if present else rng.choice(others)
    prompt = rng.choice(_OBJECT_EN).format(with_article(GLYPHS[chosen].name))
    return Ask(prompt, "Yes" if present else "No", yes_no=True)


def draw_asks(rng: random.Random, truth: Truth, probes: int = 4) -> list[Ask]:
    """The questions of one training picture: up to half the probes about what is there, the rest about what is not,
    then a description; sometimes an object by name or the reading prompt."""
    present = [c for c in CATEGORIES if c in truth.categories]
    absent = [c for c in CATEGORIES if c not in truth.categories]
    rng.shuffle(present)
    rng.shuffle(absent)
    about = present[: probes // 2]
    about += absent[: probes - len(about)]
    asks = [_category_ask(rng, c, c in truth.categories) for c in about]
    if rng.random() < 0.3:  # noqa: PLR2004
        asks.append(_object_ask(rng, truth))
    if rng.random() < 0.15:  # noqa: PLR2004
        asks.append(Ask(READ, ILLEGIBLE if truth.writing else "", yes_no=False))
    asks.append(Ask(rng.choice((DESCRIBE, DESCRIBE, *_DESCRIBE_ALSO)), description(truth), yes_no=False))
    return asks


def every_sentence() -> list[str]:
    """All wordings and answers: what the vocabulary is built from."""
    english = [t.format(x) for t in (POLICY_EN, *_ASK_EN, *_DENY_EN) for c in CATEGORIES for x in _all_en(c)]
    chinese = [t.format(x) for t in (POLICY_ZH, *_ASK_ZH, *_DENY_ZH) for c in CATEGORIES for x in _all_zh(c)]
    objects = [t.format(with_article(g.name)) for t in _OBJECT_EN for g in GLYPHS]
    names = [f"a {g.name}, a {g.name} and an {g.name}" for g in GLYPHS]
    endings = ["a page of text", "a photograph", "nothing known", ILLEGIBLE]
    return [*english, *chinese, *objects, *names, *endings, DESCRIBE, READ, *_DESCRIBE_ALSO]


def _all_en(category: str) -> Sequence[str]:
    return (POLICY_TERMS_EN[category], *_TERMS_EN[category])


def _all_zh(category: str) -> Sequence[str]:
    return (POLICY_TERMS_ZH[category], *_TERMS_ZH[category])
