"""Languages: their codes, as BCP 47 has them, and the English names that a prompt says."""

import re

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean

_CODE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")

_NAMES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "ms": "Malay",
    "nb": "Norwegian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "pt-br": "Brazilian Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
    "zh-hant": "Traditional Chinese",
    "zh-tw": "Traditional Chinese",
}


def language_code(language: str, param: str = "target") -> str:
    """Return the code of a language: `de`, `de-AT` and `German` are known. Raises BadRequest."""
    code = language.strip().lower()
    named = [each for each, name in _NAMES.items() if name.lower() == code]
    if named:
        return named[0]
    if not _CODE.fullmatch(code) or (code.partition("-")[0] not in _NAMES and len(code) > 3):
        names = {name.lower() for name in _NAMES.values()}
        raise BadRequest(f"{language[:40]!r} is no language. {did_you_mean(code, [*_NAMES, *names])}", param=param)
    return code


def language_name(code: str) -> str:
    """Return the English name of a language, or its code where there is none here."""
    code = code.lower()
    return _NAMES.get(code) or _NAMES.get(code.partition("-")[0]) or code


def is_same_language(one: str, other: str) -> bool:
    """Compare codes without their regions: a pair for `de` serves `de-AT`. An empty code is any language."""
    return not one or not other or one.lower().partition("-")[0] == other.lower().partition("-")[0]
