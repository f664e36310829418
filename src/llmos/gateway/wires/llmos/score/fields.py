"""The request of POST /v1/score."""

from typing import Annotated

from llmos.core.errors import BadRequest
from llmos.gateway.calls.embedding import MAX_INPUTS, EmbedCall, check_inputs
from llmos.gateway.http.fields import ComparedTextsFields
from llmos.gateway.http.requests import NOT_EMPTY, described
from llmos.security.callers import Caller


class ScoreRequest(ComparedTextsFields, kw_only=True):
    text_1: Annotated[str, NOT_EMPTY] | Annotated[list[Annotated[str, NOT_EMPTY]], described(minItems=1)]
    """One text, which is compared with every text of text_2, or as many texts as text_2 has."""
    text_2: Annotated[str, NOT_EMPTY] | Annotated[list[Annotated[str, NOT_EMPTY]], described(minItems=1)]

    def call(self, caller: Caller) -> EmbedCall:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        firsts, seconds = _texts(self.text_1, "text_1"), _texts(self.text_2, "text_2")
        if len(firsts) not in (1, len(seconds)):
            raise BadRequest(
                f"`text_1` has {len(firsts):,} texts and `text_2` has {len(seconds):,}. Send one or as many.",
                param="text_1",
            )
        if len(firsts) + len(seconds) > MAX_INPUTS:
            raise BadRequest(
                f"There are {len(firsts) + len(seconds):,} texts; the limit is {MAX_INPUTS:,}. Send several requests.",
                param="text_2",
            )
        names = [name for _, name in firsts + seconds]
        return EmbedCall(
            model=self.model,
            inputs=check_inputs([text for text, _ in firsts + seconds], names),
            names=names,
            truncate_to=self.truncate_to(),
            num_queries=len(firsts),
            instruction=self.instruction,
            caller=self.on_behalf_of(caller),
            id_prefix="score",
        )


def _texts(value: str | list[str], field: str) -> list[tuple[str, str]]:
    """Return the texts, each with its field name for error messages."""
    if isinstance(value, str):
        return [(value, field)]
    if not value:
        raise BadRequest(f"`{field}` is empty: send at least one text.", param=field)
    return [(text, f"{field}[{i}]") for i, text in enumerate(value)]
