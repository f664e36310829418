"""The likelihood of a passage, by the weights of what is in it."""

import math

import numpy as np
import pytest

from llmos.security.guardrails import concepts
from llmos.security.guardrails.linear_model import LinearModel, load_model
from llmos.security.guardrails.ngrams import NUM_BUCKETS, ngrams


def model(**weights: float) -> LinearModel:
    """Return a model with the weights of n-grams and concepts of "ignore"."""
    of_ngrams, of_concepts = np.zeros(NUM_BUCKETS, np.float32), np.zeros(concepts.NUM_FEATURES, np.float32)
    of_ngrams[ngrams("ignore")[0]] = weights.get("ngrams", 0.0)
    of_concepts[concepts.features("ignore")] = weights.get("concepts", 0.0)
    return LinearModel(
        ngrams=of_ngrams, concepts=of_concepts, rules={"rule": 2.0}, bias=-1.0, threshold=0.5, tool_threshold=0.4
    )


def test_the_probability_is_that_of_the_weights() -> None:
    by_ngrams = model(ngrams=3.0)
    assert by_ngrams.probability("ignore") == pytest.approx(1 / (1 + math.exp(-2)))
    assert by_ngrams.probability("ignore", ["rule", "another"]) == pytest.approx(1 / (1 + math.exp(-4)))
    assert by_ngrams.probability("") == pytest.approx(1 / (1 + math.exp(1)))
    assert by_ngrams.probability("ignore a few words here") < by_ngrams.probability("ignore")


def test_a_concept_counts_in_every_language() -> None:
    by_concepts = model(concepts=5.0)
    expected = 1 / (1 + math.exp(1 - 5 * concepts.scale(1)))
    assert [by_concepts.probability(word) for word in ("ignore", "ignoriere", "игнорируй", "无视")] == [
        pytest.approx(expected)
    ] * 4
    assert by_concepts.probability("banana") < 0.5


def test_a_passage_of_a_tool_needs_less_to_be_found() -> None:
    shipped = load_model("prompt_injection")
    assert 0 < shipped.tool_threshold < shipped.threshold < 1
