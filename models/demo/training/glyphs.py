"""The pictograms the model knows: name, code point, category. Class `index + 1` in every label map; 0 is background."""

from typing import NamedTuple

CATEGORIES = ("weapons", "violence", "drugs", "alcohol", "gambling", "adult")


class Glyph(NamedTuple):
    name: str
    codepoint: int
    category: str | None


_HARMFUL: dict[str, dict[str, int]] = {
    "weapons": {
        "knife": 0x1F52A,
        "dagger": 0x1F5E1,
        "swords": 0x2694,
        "gun": 0x1F52B,
        "bomb": 0x1F4A3,
        "bow": 0x1F3F9,
        "axe": 0x1FA93,
    },
    "violence": {"blood": 0x1FA78, "injury": 0x1F915, "skull": 0x1F480, "zombie": 0x1F9DF, "coffin": 0x26B0},
    "drugs": {"cigarette": 0x1F6AC, "pill": 0x1F48A, "syringe": 0x1F489},
    "alcohol": {"beer": 0x1F37A, "wine": 0x1F377, "cocktail": 0x1F378, "whisky": 0x1F943, "champagne": 0x1F37E},
    "gambling": {"slots": 0x1F3B0, "dice": 0x1F3B2, "joker": 0x1F0CF, "mahjong": 0x1F004},
    "adult": {"adults": 0x1F51E, "bikini": 0x1F459, "kiss": 0x1F48B, "briefs": 0x1FA72},
}

_HARMLESS: dict[str, int] = {
    "cat": 0x1F431,
    "dog": 0x1F436,
    "rabbit": 0x1F430,
    "panda": 0x1F43C,
    "frog": 0x1F438,
    "fish": 0x1F41F,
    "bird": 0x1F426,
    "elephant": 0x1F418,
    "butterfly": 0x1F98B,
    "apple": 0x1F34E,
    "banana": 0x1F34C,
    "pizza": 0x1F355,
    "burger": 0x1F354,
    "cake": 0x1F370,
    "strawberry": 0x1F353,
    "carrot": 0x1F955,
    "coffee": 0x2615,
    "car": 0x1F697,
    "bus": 0x1F68C,
    "bicycle": 0x1F6B2,
    "plane": 0x2708,
    "train": 0x1F682,
    "boat": 0x26F5,
    "tree": 0x1F333,
    "sunflower": 0x1F33B,
    "rose": 0x1F339,
    "sun": 0x2600,
    "moon": 0x1F319,
    "star": 0x2B50,
    "house": 0x1F3E0,
    "ball": 0x26BD,
    "guitar": 0x1F3B8,
    "book": 0x1F4D5,
    "umbrella": 0x2614,
    "gift": 0x1F381,
    "clock": 0x23F0,
}

GLYPHS: tuple[Glyph, ...] = (
    *(Glyph(name, code, category) for category, members in _HARMFUL.items() for name, code in members.items()),
    *(Glyph(name, code, None) for name, code in _HARMLESS.items()),
)
CLASSES = len(GLYPHS) + 1

HARMLESS_IDS = tuple(i for i, glyph in enumerate(GLYPHS) if glyph.category is None)
CATEGORY_IDS = {c: tuple(i for i, glyph in enumerate(GLYPHS) if glyph.category == c) for c in CATEGORIES}

#: Thin outlines fill few patches and were the weak spot of the first models: drawn so many times as often as the rest.
DRAWN_OFTEN = {"knife": 4.0, "bow": 4.0, "dagger": 2.0, "swords": 2.0, "axe": 2.0, "cigarette": 2.0, "syringe": 2.0}

#: Never mirrored: its meaning is in its letters.
LETTERED = frozenset({"adults"})

_DECOY_RANGES = ((0x1F300, 0x1F64F), (0x1F680, 0x1F6F0), (0x1F900, 0x1F9FF), (0x1FA70, 0x1FAFF), (0x2600, 0x27BF))

#: Too close to a known pictogram to be called unknown, in looks or in meaning.
_NEAR = frozenset(
    {
        *(0x1F37B, 0x1F942, 0x1F376, 0x1F379, 0x1F9E8, 0x2620, 0x26B1, 0x1F9DB, 0x1F9DC, 0x1F47A, 0x1F479, 0x1F444),
        *(0x1F445, 0x1F48C, 0x1F48F, 0x1F491, 0x1F45A, 0x1F912, 0x1F922, 0x1F92E, 0x1F927, 0x1F637, 0x2660, 0x2663),
        *(0x2665, 0x2666, 0x1F3B4, 0x1F6AD, 0x1F408, 0x1F415, 0x1F429, 0x1F9AE, 0x1F407, 0x1F420, 0x1F421, 0x1F34F),
        *(0x1F34D, 0x1F699, 0x1F698, 0x1F695, 0x1F696, 0x1F693, 0x1F68D, 0x1F690, 0x1F332, 0x1F384, 0x1F31E, 0x1F31F),
        *(0x1F320, 0x1F3E1, 0x1F3E2, 0x1F3DA, 0x1F3D8, 0x1F302, 0x2602, 0x26F1, 0x1F43A, 0x1F98A, 0x1F43B, 0x1F54A),
        *(0x1F986, 0x1F985, 0x1F9A2, 0x1F99C, 0x1F6E9, 0x1F6EB, 0x1F6EC, 0x1FA70, 0x1FA71, 0x1FA73, 0x1F9B7, 0x1F9FB),
        *(0x1FA79, 0x1FA92, 0x1FA9A, 0x1FA83, 0x1F528, 0x2692, 0x2696, 0x1F6E1, 0x1F6E0, 0x26CF, 0x1F52B, 0x1F3BA),
        *(0x1F9C3, 0x1F964, 0x1F95B, 0x1F37C, 0x1FAD7, 0x1FAD6, 0x1F375, 0x1F962, 0x1FAC0, 0x1FAC1, 0x1F47B, 0x1F47F),
        *(0x1F3AF, 0x1F3B1, 0x2122, 0x1F3C0, 0x26BE, 0x1F3D0, 0x1F94E, 0x1F9FF, 0x1F40C, 0x1F41B, 0x1F33C, 0x1F33A),
        *(0x1F418, 0x1F9A3, 0x1F98D, 0x1F6F4, 0x1F6F5, 0x1F3CD, 0x1F6A4, 0x1F6E5, 0x1F6F3, 0x26F4, 0x1F6A2, 0x1F396),
        *range(0x1F311, 0x1F31E),
        *range(0x1F550, 0x1F568),
        *range(0x1F4D2, 0x1F4DB),
        *range(0x1F63A, 0x1F641),
        *range(0x1F683, 0x1F68C),
    }
)


def decoy_codepoints() -> list[int]:
    """Pictograms without a name here: the model must leave them alone. Not every code point has a drawing."""
    known = {glyph.codepoint for glyph in GLYPHS} | _NEAR
    return [code for low, high in _DECOY_RANGES for code in range(low, high + 1) if code not in known]
