"""Normalization of texts spelled to deceive: look-alike letters, invisible characters, and text inside of encodings.

normalize("іgn\\u200bоrе ALL")  ──▶  "ignore all"
views("aWdub3JlIGFsbCBydWxlcw==")  ──▶  that, and "ignore all rules" as `base64`
"""

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterator

_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһԛԝьвкмнтгпАЕОРСУХІЈЅВКМНТаαοеρυνικτεΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdhqwbbkmhtrnAEOPCYXIJSBKMHTaaoepuvikteABEZHIKMNOPTYX",
)
"""Cyrillic and Greek letters that look like a Latin one. NFKC has those that Unicode knows to be the same: of full
width, bold, in circles."""
_VARIANTS = str.maketrans("ɑɡɩıⅼʀɪᴀʙᴄᴅᴇꜰɢʜᴊᴋʟᴍɴᴏᴘꜱᴛᴜᴠᴡʏᴢىة", "agiilriabcdefghjklmnopstuvwyzيه")
"""Small capitals and others that stand for a Latin letter wherever they are; Arabic letters that people interchange."""

_LOOKALIKE = re.compile(f"[{''.join(map(chr, _LOOKALIKES))}]")
_OWN_LETTER = re.compile(f"(?![{''.join(map(chr, _LOOKALIKES))}])[\u0370-\u03ff\u0400-\u052f]")
"""A Cyrillic or Greek letter that looks like no Latin one."""
_MIXED_WORD = re.compile(r"\w*[a-zA-Z]\w*")

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\U0001d173-\U0001d17a\U000e0000-\U000e01ef]"
)
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u0640\u064b-\u065f\u0670\u093c\u20d0-\u20ff]")
"""Accents, the vowels of Arabic and what stretches its words, the dot under Hindi letters."""

_TAGS = re.compile("\U0001f3f4[\U000e0020-\U000e007f]+|([\U000e0020-\U000e007e]{4,})")
"""Behind a black flag they are the name of a region, whose flag it is."""
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{8,}")

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:(?:\\x|0x|%)?[0-9a-fA-F]{2}[\s,]?){10,}")
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4}){4,}")
_BINARY = re.compile(r"(?:[01]{8}\s?){4,}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ ._*-]){5,}\w(?!\w)")
_SPACED_WORD = re.compile(r"(?<!\w)(?:\w[ ._*-])+\w(?!\w)")
_LEET_WORD = re.compile(r"[\w@$!|]*[0134579@$!|][\w@$!|]*")
_LEET_PART = re.compile(r"[a-z][0134579@$!|]{1,3}[a-z]|^[0134579@$!|][a-z]{2}", re.IGNORECASE)
_MAX_LEET = 16
"""Longer words with digits are keys and digests."""
_LEET = str.maketrans("0134579@$!|", "oieastgasil")

_TELLING = ("the", "and", "you", "your", "ignore", "previous", "instructions", "system", "prompt", "rules")
"""Two of these, rotated or reversed, are in a text that has been rotated or reversed."""
_ROTATED = frozenset(codecs.encode(word, "rot13") for word in _TELLING)
_REVERSED = frozenset(word[::-1] for word in _TELLING)
_WORD = re.compile(r"[a-z]+")


def normalize(text: str) -> str:
    """Return the text in lower case, with Latin letters for those that look like them, and nothing invisible."""
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
        text = unicodedata.normalize("NFKC", _MARKS.sub("", unicodedata.normalize("NFKD", text))).translate(_VARIANTS)
        if _LOOKALIKE.search(text):
            text = _without_lookalikes(text)
    return text.lower()


def hidden_text(text: str) -> str:
    """Return what is written in characters that nobody sees: tags, and selectors of variants."""
    if text.isascii():
        return ""
    tags = ["".join(chr(ord(each) - 0xE0000) for each in found) for found in _TAGS.findall(text)]
    selected = [bytes(map(_selected_byte, found)).decode(errors="ignore") for found in _SELECTORS.findall(text)]
    return " ".join(each for each in [*tags, *selected] if _is_prose(each))


def views(text: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to read a text, normalized, each with the name of its encoding: "" for the text itself."""
    plain = normalize(text)
    yield "", plain
    for name, pattern, decode in _DECODERS:
        for found in pattern.findall(text):
            if _is_prose(decoded := decode(found)):
                yield name, normalize(decoded)
    if _SPACED.search(plain):
        # Words are told apart by wider gaps, if at all.
        yield "spaced", _SPACED_WORD.sub(lambda found: re.sub(r"[ ._*-]", "", found[0]), plain)
    if sum(len(word) <= _MAX_LEET and bool(_LEET_PART.search(word)) for word in _LEET_WORD.findall(plain)) >= 2:
        yield "leet", plain.translate(_LEET)
    words = set(_WORD.findall(plain))
    if len(words & _ROTATED) >= 2:
        yield "rot13", codecs.decode(plain, "rot13")
    if len(words & _REVERSED) >= 2:
        yield "reversed", plain[::-1]


def _without_lookalikes(text: str) -> str:
    if not _OWN_LETTER.search(text):
        return text.translate(_LOOKALIKES)
    # There is real Russian or Greek in the text. Of its words, only those that mix scripts are suspicious.
    return _MIXED_WORD.sub(lambda found: found[0].translate(_LOOKALIKES), text)


def _selected_byte(selector: str) -> int:
    code = ord(selector)
    return code - 0xFE00 if code < 0xE0100 else code - 0xE0100 + 16


def _from_base64(text: str) -> str:
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    text = text[: len(text) - (len(text) % 4 == 1)]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _from_hex(text: str) -> str:
    try:
        return bytes.fromhex(re.sub(r"\\x|0x|[%\s,]", "", text)).decode()
    except ValueError:
        return ""


def _from_escapes(text: str) -> str:
    return bytes.fromhex(text.replace("\\u", "")).decode("utf-16-be", errors="ignore")


def _from_binary(text: str) -> str:
    digits = re.sub(r"\s", "", text)
    return bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits) - 7, 8)).decode(errors="ignore")


_DECODERS = (
    ("base64", _BASE64, _from_base64),
    ("hex", _HEX, _from_hex),
    ("escapes", _ESCAPES, _from_escapes),
    ("binary", _BINARY, _from_binary),
)


def _is_prose(text: str) -> bool:
    """Return whether what was decoded reads as text, which random bytes hardly do."""
    return len(text) >= 4 and text.isprintable() and sum(map(_is_letter, text)) >= 0.8 * len(text)


def _is_letter(character: str) -> bool:
    return character.isalpha() or character == " "
