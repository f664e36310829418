"""The tokens of an answer, as responses count them."""

from llmos.gateway.calls.answer import Answer
from llmos.gateway.http.answers import PromptTokensDetails
from llmos.gateway.wires.openai.responses.answers import OutputTokensDetails, ResponseUsage


def render_usage(answer: Answer, *, num_reasoning_tokens: int) -> ResponseUsage:
    """Return the tokens that the answer has used so far."""
    num_input, num_output = answer.num_prompt_tokens, answer.num_completion_tokens
    return ResponseUsage(
        num_input,
        PromptTokensDetails(answer.num_cached_tokens),
        num_output,
        OutputTokensDetails(num_reasoning_tokens),
        num_input + num_output,
    )
