"""The language of each row, as an ISO 639-1 code; rows in other languages than the wanted ones are dropped."""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.data.datasets.rows import Row
from llmos.data.operators import operator
from llmos.data.operators.operator import Context, Dropped, RowOperator

VERSION = 1

_MAX_CHARACTERS = 4000
"""The beginning of a row's texts that is judged."""


class Options(operator.Options, frozen=True, kw_only=True):
    keep: Sequence[str] = ()
    """The languages to keep, as codes: en, zh, de. None: all."""
    min_probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """A row whose language is less sure than this gets none. It is dropped where `keep` is given."""


class Language(RowOperator):
    name: ClassVar[str] = "language"

    def __init__(self, options: Options) -> None:
        self._keep, self._min_probability = frozenset(options.keep), options.min_probability

    def decide(self, row: Row) -> Row | Dropped:
        text = "\n".join(row.texts)[:_MAX_CHARACTERS]
        found = _classify(text) if any(map(str.isalpha, text)) else None
        language = None if found is None or found[1] < self._min_probability else found[0]
        if self._keep and language not in self._keep:
            if language is None:
                return Dropped("no_language", None if found is None else f"{found[0]} at {found[1]:.0%}")
            return Dropped("other_language", language)
        return msgspec.structs.replace(row, language=language)


def open(options: Options, context: Context) -> Language:
    known = [str(each) for each in _identifier().labels]
    for language in options.keep:
        if language not in known:
            raise BadRequest(
                f"`keep` has {language[:20]!r}, which isn't a language that is known. {did_you_mean(language, known)}",
                param="keep",
            )
    return Language(options)


def _classify(text: str) -> tuple[str, float]:
    language, probability = _identifier().classify(text)
    return str(language), float(probability)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
