"""One choice of one request on its way through the engine: its tokens, and how many of them are computed."""

from operator import attrgetter

from llmos.engine.sampling.sampler import SamplingState
from llmos.engine.scheduling.kv_cache import BlockTable
from llmos.engine.scheduling.prefix_cache import Node
from llmos.engine.scheduling.speculate import Drafter
from llmos.engine.text.grammar import GrammarMatcher
from llmos.engine.text.output import OutputProcessor


class Sequence:
    """
    tokens   [ prompt .................... | output .......... ]
             [ in the KV cache .... | still to compute ....... ]
             0                      num_computed      len(tokens)

    A sequence decodes when exactly its last token is still to compute; before that it prefills. A preempted sequence
    prefills its prompt and its output again, and goes on as if nothing had been.
    """

    __slots__ = (
        "adapter",
        "arrival",
        "awaited",
        "caller",
        "choice",
        "draft",
        "drafter",
        "is_draft_forced",
        "is_resuming",
        "matcher",
        "num_cached_tokens",
        "num_charged",
        "num_computed",
        "num_prompt_tokens",
        "path",
        "priority",
        "request_id",
        "salt",
        "sampling",
        "table",
        "tokens",
    )

    def __init__(
        self,
        request_id: str,
        prompt: list[int],
        sampling: SamplingState,
        choice: OutputProcessor,
        *,
        caller: str = "",
        salt: str = "",
        priority: int = 0,
        matcher: GrammarMatcher | None = None,
    ) -> None:
        self.request_id = request_id
        self.caller = caller
        self.salt = salt
        """It begins with prefixes that were computed for the same salt only."""
        self.priority = priority
        self.adapter = -1
        """Its number among the runner's adapters; -1: none."""
        self.arrival = 0
        """The scheduler counts who comes."""
        self.tokens = prompt.copy()
        self.num_prompt_tokens = len(prompt)
        self.num_computed = 0
        self.num_cached_tokens = 0
        """Of the prompt, those that were in the prefix cache when it ran first."""
        self.num_charged = 0
        """Tokens that its caller was charged for, or got from the prefix cache."""
        self.is_resuming = False
        """It was preempted, and has not said anything since."""
        self.path: list[Node] = []
        """What of its tokens was in the prefix cache, or promised, when we looked last."""
        self.awaited: Node | None = None
        """The block that another sequence was about to compute for it when we looked last."""
        self.table: BlockTable | None = None
        """Its blocks while it runs; None while it waits."""
        self.draft: list[int] = []
        """Tokens that may follow the last one: computed in the same step, and kept where the model says them too."""
        self.is_draft_forced = False
        """The draft is what the grammar leaves no choice about, and says nothing about the drafter."""
        self.drafter: Drafter | None = Drafter()
        self.sampling = sampling
        self.choice = choice
        self.matcher = matcher
        """What its answer must be, where anything was asked for; it has read all that the sequence said."""


by_arrival = attrgetter("arrival")
"""A key to sort sequences by: who came first."""
