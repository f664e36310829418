"""The tokens of an answer, as responses count them."""

from llmos.billing.entries import total
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http.answers import PromptTokensDetails, cost_fields
from llmos.gateway.wires.openai.responses.answers import OutputTokensDetails, ResponseUsage


def render_usage(*answers: Answer, num_reasoning_tokens: int) -> ResponseUsage:
    """Return the tokens that the answers of one response have used so far."""
    num_input = sum(answer.num_prompt_tokens for answer in answers)
    num_output = sum(answer.num_completion_tokens for answer in answers)
    charges = [answer.attempt.charge for answer in answers]
    return ResponseUsage(
        num_input,
        PromptTokensDetails(sum(answer.num_cached_tokens for answer in answers)),
        num_output,
        OutputTokensDetails(num_reasoning_tokens),
        num_input + num_output,
        *cost_fields(total(charge for charge in charges if charge is not None)),
    )
