"""Figures with intervals, the trivial alternative beside each, and a sentence that says what they mean."""

from collections.abc import Callable, Sequence

import numpy as np

from llmos.core.proportions import Interval, wilson
from llmos.core.schemas.knowledge_eval import FigureDescription
from llmos.data.knowledge.evaluation.intervals import Indexes, bootstrap
from llmos.data.knowledge.evaluation.judging import Judged
from llmos.data.knowledge.evaluation.modes import found_within, reciprocal_ranks
from llmos.data.knowledge.evaluation.threshold import Prediction
from llmos.data.knowledge.index import Mode

DEPTHS = (1, 3, 5, 10)

_BASELINES: dict[Mode, str] = {"hybrid": "hybrid", "text": "text_part", "vector": "vector_part"}
"""The name of each mode as an alternative to the one that is used."""


def search_figures(judged: Sequence[Judged]) -> list[FigureDescription]:
    """Return recall@1, 3, 5 and 10, and the mean reciprocal rank, of the questions that the documents answer.

    Values are those of the mode that the cases are judged in; the other modes are the baselines.
    """
    answerable = [each for each in judged if each.is_answerable]
    return [*(_recall(answerable, depth) for depth in DEPTHS), _mean_reciprocal_rank(answerable)] if answerable else []


def missing_figures(predictions: Sequence[Prediction]) -> list[FigureDescription]:
    """Return precision, recall and F1 of "not in here"."""
    return [_precision(predictions), _recognised(predictions), _f1(predictions)]


def f1_of_never_answering(predictions: Sequence[Prediction]) -> float:
    """Return the F1 of "not in here" if every question is called unanswerable."""
    return _f1_of(np.array([(each.is_answerable, False) for each in predictions]))


def _recall(answerable: Sequence[Judged], depth: int) -> FigureDescription:
    hits = {mode: int(found_within(answerable, mode, depth).sum()) for mode in _BASELINES}
    num_hits, baselines = hits[answerable[0].mode], _others(answerable, lambda mode: hits[mode] / len(answerable))
    place = "as the first hit" if depth == 1 else f"among the first {depth} hits"
    return _share(
        f"recall@{depth}",
        num_hits,
        len(answerable),
        f"Of {_questions(len(answerable))} that the documents answer, {_were(num_hits)} found {place}",
        baselines,
    )


def _mean_reciprocal_rank(answerable: Sequence[Judged]) -> FigureDescription:
    scores = reciprocal_ranks(answerable, answerable[0].mode)
    baselines = _others(answerable, lambda mode: float(reciprocal_ranks(answerable, mode).mean()))
    return _statistic(
        "mrr",
        len(answerable),
        lambda indexes: float(scores[indexes].mean()),
        "The mean reciprocal rank of the first right hit is",
        baselines,
    )


def _others(answerable: Sequence[Judged], value: Callable[[Mode], float]) -> dict[str, float]:
    """Return the value of each mode that isn't used, by the name of the baseline."""
    return {name: value(mode) for mode, name in _BASELINES.items() if mode != answerable[0].mode}


def _precision(predictions: Sequence[Prediction]) -> FigureDescription:
    called = [each for each in predictions if not each.is_called_answerable]
    num_right = sum(not each.is_answerable for each in called)
    return _share(
        "not_in_here_precision",
        num_right,
        len(called),
        f"Of {_questions(len(called))} that were called unanswerable, {_were(num_right)} so",
        {"never_answer": _share_of_missing(predictions)},
    )


def _recognised(predictions: Sequence[Prediction]) -> FigureDescription:
    missing = [each for each in predictions if not each.is_answerable]
    num_right = sum(not each.is_called_answerable for each in missing)
    return _share(
        "not_in_here_recall",
        num_right,
        len(missing),
        f"Of {_questions(len(missing))} that the documents don't answer, {_were(num_right)} recognised",
        {"always_answer": 0.0, "never_answer": 1.0},
    )


def _f1(predictions: Sequence[Prediction]) -> FigureDescription:
    pairs = np.array(predictions)
    return _statistic(
        "not_in_here_f1",
        len(predictions),
        lambda indexes: _f1_of(pairs[indexes]),
        'The F1 of "not in here" is',
        {"always_answer": 0.0, "never_answer": f1_of_never_answering(predictions)},
    )


def _f1_of(pairs: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> float:
    is_missing, is_called_missing = ~pairs[:, 0], ~pairs[:, 1]
    num_wanted = int(is_missing.sum() + is_called_missing.sum())
    return 2 * int((is_missing & is_called_missing).sum()) / num_wanted if num_wanted else 0.0


def _share_of_missing(predictions: Sequence[Prediction]) -> float:
    return sum(not each.is_answerable for each in predictions) / len(predictions)


def _share(name: str, num_hits: int, num_cases: int, beginning: str, baselines: dict[str, float]) -> FigureDescription:
    interval = wilson(num_hits, num_cases)
    value = num_hits / num_cases if num_cases else 0.0
    end = f": {_percent(value)} % ({_percent(interval.low)}–{_percent(interval.high)} %)." if num_cases else "."
    return FigureDescription(
        name=name,
        value=value,
        low=interval.low,
        high=interval.high,
        num_hits=num_hits,
        num_cases=num_cases,
        baselines=baselines,
        sentence=beginning + end + _beside(baselines, lambda each: f"{_percent(each)} %"),
    )


def _statistic(
    name: str, num_cases: int, statistic: Callable[[Indexes], float], beginning: str, baselines: dict[str, float]
) -> FigureDescription:
    value, interval = statistic(np.arange(num_cases)), bootstrap(num_cases, statistic)
    interval = Interval(min(interval.low, value), max(interval.high, value))
    return FigureDescription(
        name=name,
        value=value,
        low=interval.low,
        high=interval.high,
        num_cases=num_cases,
        baselines=baselines,
        sentence=f"{beginning} {value:.2f} ({interval.low:.2f}–{interval.high:.2f})."
        + _beside(baselines, lambda each: f"{each:.2f}"),
    )


_BASELINE_NAMES = {
    "hybrid": "Both parts together",
    "text_part": "the text part alone",
    "vector_part": "the vector part alone",
    "always_answer": "Always answering",
    "never_answer": "never answering",
}


def _beside(baselines: dict[str, float], render: Callable[[float], str]) -> str:
    parts = [f"{_BASELINE_NAMES[name]}: {render(value)}" for name, value in baselines.items()]
    text = ", ".join(parts)
    return f" {text[:1].upper()}{text[1:]}."


def _percent(share: float) -> int:
    return round(100 * share)


def _questions(number: int) -> str:
    return "1 question" if number == 1 else f"{number:,} questions"


def _were(number: int) -> str:
    return "1 was" if number == 1 else f"{number:,} were"
