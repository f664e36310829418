"""Results of another run stand in for tools and steps: each call by its arguments, and nothing that wasn't recorded."""

import pytest

from llmos.client.recorded_calls import RecordedCalls
from llmos.core.errors import NotRecorded
from llmos.core.schemas.runs import StepDescription


def call(arguments: object, text: str, state: str = "done") -> StepDescription:
    result = {"role": "tool", "tool_call_id": "c", "content": text}
    return StepDescription(kind="tool", name="order", key=text, arguments=arguments, result=result, state=state)


def test_the_same_call_gives_its_results_in_order_and_the_last_one_again() -> None:
    recorded = RecordedCalls(
        [call({"id": 1, "a": 2}, "sent"), call({"id": 2}, "lost"), call({"a": 2, "id": 1}, "there")]
    )
    texts = [recorded.tool("order", {"id": 1, "a": 2}).result["content"] for _ in range(3)]
    assert texts == ["sent", "there", "there"]
    assert recorded.tool("order", {"id": 2}).result["content"] == "lost"


def test_what_was_not_recorded_is_an_error_and_not_an_empty_result() -> None:
    recorded = RecordedCalls([call({"id": 1}, "sent"), call({"id": 3}, "?", state="begun")])
    with pytest.raises(NotRecorded, match="calls the tool order with other arguments"):
        recorded.tool("order", {"id": 2})
    with pytest.raises(NotRecorded):
        recorded.tool("order", {"id": 3})
    with pytest.raises(NotRecorded, match="does the step refund"):
        recorded.step("step:1", "refund")
