"""The sequences on their way through the engine: their tokens, and how many of them are computed."""

from llmos.engine.sampling.sampler import SamplingState
from llmos.engine.scheduling.drafter import Drafter
from llmos.engine.scheduling.kv_cache import BlockTable
from llmos.engine.scheduling.prefix_cache import Node
from llmos.engine.scheduling.scored_tokens import ScoredTokens
from llmos.engine.text.grammar import GrammarMatcher
from llmos.engine.text.output import OutputProcessor


class Sequence:
    """Tokens to compute. Ends when all of them are.

    tokens   [ in the KV cache .... | still to compute ....... ]
             0                      num_computed      len(tokens)
    """

    __slots__ = (
        "adapter_index",
        "arrival",
        "caller",
        "draft",
        "fork",
        "in_flight",
        "is_resuming",
        "junction",
        "num_cached_tokens",
        "num_charged",
        "num_computed",
        "num_prompt_tokens",
        "pending_node",
        "prefix_path",
        "priority",
        "request_id",
        "restored",
        "rolling_node",
        "salt",
        "scheduled_at",
        "scored",
        "table",
        "tokens",
    )

    def __init__(
        self,
        request_id: str,
        tokens: list[int],
        *,
        caller: str = "",
        salt: str = "",
        priority: int = 0,
        scored: ScoredTokens | None = None,
    ) -> None:
        self.request_id = request_id
        self.caller = caller
        self.salt = salt
        """Prefixes are shared only among sequences of the same salt."""
        self.priority = priority
        self.adapter_index = -1
        """Index among the runner's adapters; -1 for none."""
        self.arrival = 0
        """Consecutive number that the scheduler assigns."""
        self.tokens = tokens.copy()
        self.num_prompt_tokens = len(tokens)
        self.num_computed = 0
        self.num_cached_tokens = 0
        """Prompt tokens that were in the prefix cache when the sequence was first scheduled."""
        self.scheduled_at = 0.0
        """When it was first scheduled, on the clock of time.perf_counter; 0 before that."""
        self.num_charged = 0
        """Tokens that the caller's account was charged for, or that came from the prefix cache."""
        self.is_resuming = False
        """True from a preemption to the next token."""
        self.prefix_path: list[Node] = []
        """Nodes of the prefix cache that held its tokens at the last lookup, pending ones included."""
        self.pending_node: Node | None = None
        """The block that another sequence was about to compute for it at the last lookup."""
        self.restored = -1
        """The snapshot with which its recurrent state begins in its first step; -1 for none."""
        self.junction: Node | None = None
        """The last node that holds its tokens, where the recurrent state behind this is missing: it keeps that."""
        self.rolling_node: Node | None = None
        """The node of its rolling snapshot."""
        self.in_flight: object | None = None
        """The plan under way that brings its next token. It computes nothing else meanwhile, and a token of any other
        plan is discarded."""
        self.table: BlockTable | None = None
        """Its blocks while it runs; None while it waits."""
        self.draft: list[int] = []
        """Tokens that may follow the last one: computed in the same step, kept as far as the model samples the same."""
        self.scored = scored or ScoredTokens()
        """The tokens that are scored on the way."""
        self.fork = 0
        """The position, a whole number of blocks, behind which other sequences of its request continue. 0: none."""

    @property
    def is_decoding(self) -> bool:
        """Exactly its last token is still to compute, and the model continues it."""
        return False

    @property
    def num_reusable(self) -> int:
        """The tokens at its beginning that may come from the prefix cache: those whose rows nobody needs."""
        last = len(self.tokens) - 1
        position = self.scored.next_position
        return last if position is None else min(last, position)


class Choice(Sequence):
    """One choice of a request: a sequence that the model continues.

    tokens   [ prompt .................... | output .......... ]

    It decodes when exactly its last token is still to compute; before that it prefills. A preempted choice prefills its
    prompt and its output again, and continues with the same tokens as without the preemption.
    """

    __slots__ = ("drafter", "is_draft_forced", "matcher", "output", "sampling")

    def __init__(
        self,
        request_id: str,
        prompt: list[int],
        sampling: SamplingState,
        output: OutputProcessor,
        *,
        caller: str = "",
        salt: str = "",
        priority: int = 0,
        matcher: GrammarMatcher | None = None,
        scored: ScoredTokens | None = None,
    ) -> None:
        super().__init__(request_id, prompt, caller=caller, salt=salt, priority=priority, scored=scored)
        self.is_draft_forced = False
        """The grammar forced the draft, so its acceptance says nothing about the drafter."""
        self.drafter: Drafter | None = Drafter()
        """None after it has failed."""
        self.sampling = sampling
        self.output = output
        self.matcher = matcher
        """The grammar that the answer must follow, advanced past all output tokens; None for any text."""

    @property
    def is_decoding(self) -> bool:
        return self.num_computed + 1 == len(self.tokens)
