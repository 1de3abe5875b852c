"""Chinese characters: their simplified forms and how they sound.

The tables come from OpenCC and pypinyin and are read once, when the first list is indexed. pypinyin's own import would
load its phrases too, half a second and 50 MB that nothing here uses.
"""

import json
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distribution, version

import opencc

#: Which tables the normalisation rests on, for the pins.
TABLES = f"opencc {version('opencc')}, pypinyin {version('pypinyin')}"

_HAN_RANGES = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x2FA20), (0x30000, 0x323B0))

#: Characters with a second sound that is common in words; the dictionary's others are rare, old or of names.
_SECOND_SOUNDS = (
    "行hang 重chong 乐yue 单shan 会kuai 调tiao 传zhuan 弹tan 藏zang 差chai 都du 觉jiao 卡qia 率shuai 没mo 便pian "
    "模mu 奇ji 色shai 省xing 提di 系ji 血xie 着zhuo 仇qiu 大dai 给ji 参shen 车ju 角jue 校jiao 降xiang 露lou 绿lu "
    "还huan 剥bao 什shi 折she 约yao 炮bao 堡bu 屏bing 臭xiu 畜xu 攒cuan 恶wu 虹jiang 壳qiao 落la 咽ye 殷yan 轧zha "
    "爪zhua 熟shou 谁shei 拓ta 吓he 择zhai 扎za 长chang 朝zhao 薄bo 勒le 泊bo 地de 得dei 了liao 厦xia 石dan 番pan "
    "盛cheng 否pi 圈juan 强jiang 塞se 遗wei 识zhi 说shui 读dou 区ou 盖ge 尿sui 尺che 红gong 期ji 弟ti 万mo 沈chen "
    "仔zi 数shuo 弄long 称chen 乘sheng 莞wan "
)


def is_han(character: str) -> bool:
    point = ord(character)
    return any(first <= point < end for first, end in _HAN_RANGES)


@cache
def simplified() -> Mapping[str, str]:
    """Each traditional character's simplified one; what is simplified already is not in it."""
    characters = [chr(point) for first, end in _HAN_RANGES for point in range(first, end)]
    converted = opencc.OpenCC("t2s").convert("\n".join(characters)).split("\n")
    if len(converted) != len(characters):
        raise RuntimeError("OpenCC no longer converts character by character")
    return {old: new for old, new in zip(characters, converted, strict=True) if old != new and len(new) == 1}


@cache
def readings() -> Mapping[str, tuple[str, ...]]:
    """How each character is read, without tones, the most common first; ü is written `v`."""
    file = distribution("pypinyin").locate_file("pypinyin/pinyin_dict.json")
    with open(str(file), encoding="utf-8") as stream:  # noqa: PTH123 - locate_file gives a path of its own kind
        entries: dict[str, str] = json.load(stream)
    return {
        chr(int(point)): tuple(dict.fromkeys(_toneless(reading) for reading in listed.split(",")))
        for point, listed in entries.items()
    }


@cache
def spoken() -> Mapping[str, tuple[str, ...]]:
    """The readings that a word is likely to have: the first, and a second one where it is common."""
    second: dict[str, list[str]] = {}
    for entry in _SECOND_SOUNDS.split():
        second.setdefault(entry[0], []).append(entry[1:])
    return {
        character: tuple(dict.fromkeys((listed[0], *second.get(character, ()))))
        for character, listed in readings().items()
    }


def _toneless(reading: str) -> str:
    decomposed = unicodedata.normalize("NFD", reading).replace("u\u0308", "v")
    letters = "".join(letter for letter in decomposed if "a" <= letter <= "z")
    return letters.replace("nve", "nue").replace("lve", "lue")
