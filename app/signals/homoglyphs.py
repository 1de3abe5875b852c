"""Characters that stand in for another: drawn alike, and not already joined by Unicode's compatibility forms.

Keys are casefolded. Where a capital and its small letter resemble different Latin letters (Greek nu: N and v), the
capital decides, because its drawing is the same and the small one's only similar. Small and capital must agree, or a
Cyrillic term would be found in one case and not in the other. Regional-indicator letters are left out on purpose: a
flag after a term would become letters of the same word.
"""

_ALIKE = (
    # Cyrillic
    ("авеѕіјкмнорстухѵһԁԛԝүӏь", "abesijkmhopctyxvhdqwylb"),
    # Greek
    ("αβεζηικμνορτυχϳ", "abezhikmnoptyxj"),
    # Armenian
    ("օսհո", "ouhn"),
    # Cherokee, which casefolds to its capitals
    ("ᎠᎡᎢᎪᎫᎬᎳᎷᎻᎽᏀᏃᏙᏚᏞᏟᏢᏦᏴ", "drtajewmhygzvslcpkb"),
    # Latin letters without a decomposition: small capitals, strokes, dotless, script
    ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),
    ("ƀȼđɇħɨɉłøɍŧɏⱥⱦꝁɵƒ", "bcdehijlortyatkof"),
    ("ıȷɑɡɩ", "ijagi"),
    # Punctuation that keyboards and typesetters choose for one another
    ("‐‒–—―−⁃", "-------"),
    ("‘’‚‛ʼ′", "''''''"),
    ("“”„‟", '""""'),
    ("⁄∕", "//"),
)

_LIGATURES = {"æ": "ae", "œ": "oe"}

_LETTERS = "abcdefghijklmnopqrstuvwxyz"

#: Negative circled and negative squared capitals: symbols without a decomposition.
_NEGATIVE = {chr(first + i): letter for first in (0x1F150, 0x1F170) for i, letter in enumerate(_LETTERS)}

HOMOGLYPHS: dict[str, str] = {
    **{alike: plain for sources, targets in _ALIKE for alike, plain in zip(sources, targets, strict=True)},
    **_LIGATURES,
    **_NEGATIVE,
}
