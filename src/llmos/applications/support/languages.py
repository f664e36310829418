"""The language of a question, by its script: as far as it chooses between documents."""

import re
from collections.abc import Sequence

_SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"),
    "zh": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
}
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_MIN_SHARE = 0.3
"""A name in another script is no other language."""

_WORDS = {
    "de": "der die das und ist nicht ein eine ich sie wie was wo wann kann mein meine für mit auf zu von es wir",
    "fr": "le la les et est pas un une je vous comment quand où puis mon ma pour avec sur de du des nous que quel",
    "es": "el la los las y es no un una yo cómo cuándo dónde puedo mi para con por de del que qué cuál cuánto",
    "it": "il lo la gli e è non un una io come quando dove posso mio mia per con su di del che cosa quanto",
    "nl": "de het een en is niet ik u hoe wat waar wanneer kan mijn voor met op van wij welke",
    "pt": "o a os as e é não um uma eu como quando onde posso meu minha para com em de do da que qual quanto",
    "en": "the a an and is are not i you how what where when can my for with on to of do does it we which",
}


def language_of(text: str, known: Sequence[str] = ()) -> str:
    """Return the code of a text's language, such as zh. `known`: those that are told apart; empty: all.

    Languages in Latin letters are told apart by their short words; "en" where nothing says otherwise.
    """
    num_letters = sum(map(str.isalpha, text)) or 1
    for code, script in _SCRIPTS.items():
        if (not known or code in known) and len(script.findall(text)) >= _MIN_SHARE * num_letters:
            return code
    words = [word.casefold() for word in _LATIN.findall(text)]
    candidates = {code: listed.split() for code, listed in _WORDS.items() if not known or code in known}
    counts = {code: sum(word in listed for word in words) for code, listed in candidates.items()}
    best = max(counts, key=lambda code: (counts[code], code == "en"), default="en")
    return best if counts.get(best) else "en"
