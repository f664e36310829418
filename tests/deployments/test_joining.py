"""Deltas that arrive together become one, up to the length where an answer may be ended."""

from collections.abc import Iterator

import pytest

from llmos.core.errors import ProviderFailed
from llmos.deployments.joining import joined
from llmos.engine.messages import Counted, Delta, Event, FinishReason


def token(number: int, *, index: int = 0, finish_reason: FinishReason | None = None) -> Delta:
    return Delta(id="r", index=index, text=f"{number} ", num_output_tokens=number, finish_reason=finish_reason)


def said(events: Iterator[Event]) -> list[str]:
    return [event.text if isinstance(event, Delta) else type(event).__name__ for event in events]


def test_what_is_no_delta_keeps_its_place() -> None:
    events = [token(1), token(2), Counted("r", 5), token(3), token(4, finish_reason="stop")]
    assert said(joined(events)) == ["1 2 ", "Counted", "3 4 "]


def test_choices_and_what_follows_an_end_stay_apart() -> None:
    events = [token(1), token(1, index=1), token(2, index=1, finish_reason="stop"), token(3, index=1)]
    assert said(joined(events)) == ["1 ", "1 2 ", "3 "]


def test_what_the_first_delta_says_of_the_request_is_kept() -> None:
    first = Delta(id="r", text="1 ", num_cached_tokens=7, queued_micros=1200)
    (found,) = joined([first, token(2), token(3)])
    assert isinstance(found, Delta)
    assert (found.text, found.num_cached_tokens, found.queued_micros) == ("1 2 3 ", 7, 1200)


def test_a_choice_that_is_longer_than_asked_for_can_be_ended_where_it_should_have_ended() -> None:
    assert said(joined([token(number) for number in range(1, 6)], max_tokens=3)) == ["1 2 3 ", "4 ", "5 "]


def test_an_error_comes_after_what_was_before_it() -> None:
    def broken() -> Iterator[Event]:
        yield token(1)
        yield token(2)
        raise ProviderFailed("It broke off.")

    events = joined(broken())
    assert said(iter([next(events)])) == ["1 2 "]
    with pytest.raises(ProviderFailed):
        next(events)
