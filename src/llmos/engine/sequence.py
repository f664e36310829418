"""One choice of one request on its way through the engine: its tokens, and how many of them are computed."""

from llmos.engine.choice import Choice
from llmos.engine.kv_cache import BlockTable
from llmos.engine.sampler import SamplingState
from llmos.engine.speculate import Drafter


class Sequence:
    """
    tokens   [ prompt .................... | output .......... ]
             [ in the KV cache .... | still to compute ....... ]
             0                      num_computed      len(tokens)

    A sequence decodes when exactly its last token is still to compute; before that it prefills. A preempted sequence
    prefills its prompt and its output again, and goes on as if nothing had been.
    """

    __slots__ = (
        "choice",
        "draft",
        "drafter",
        "num_computed",
        "num_prompt_tokens",
        "request_id",
        "sampling",
        "siblings",
        "table",
        "tokens",
    )

    def __init__(self, request_id: str, prompt: list[int], sampling: SamplingState, choice: Choice) -> None:
        self.request_id = request_id
        self.tokens = prompt.copy()
        self.num_prompt_tokens = len(prompt)
        self.num_computed = 0
        self.table: BlockTable | None = None
        """Its blocks while it runs; None while it waits."""
        self.draft: list[int] = []
        """Tokens that may follow the last one: computed in the same step, and kept where the model says them too."""
        self.drafter: Drafter | None = Drafter()
        self.sampling = sampling
        self.choice = choice
        self.siblings: list[Sequence] = [self]
        """All choices of its request, which have the prompt in common."""
