"""Constrained answers: the set of tokens that may come next.

llguidance does the work: an Earley parser over a lexer of regular-expression derivatives, which computes a mask in tens
of microseconds. A GrammarMatcher belongs to one sequence and has accepted all of its tokens: a preempted sequence keeps
it, and a draft is accepted ahead and rolled back.
"""

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, SamplingParams
from llmos.engine.text.grammar_messages import plain_reason
from llmos.engine.text.schemas import JSON_OPTIONS, SchemaError, Site, prepare_schema, short_path, with_ascii_classes

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from llmos.engine.text.tokenizer import Tokenizer

# R mask rows, W 32-bit words of a mask

MAX_GRAMMAR_BYTES = 1 << 16
MAX_TOOLS_BYTES = 1 << 18
"""Limit for the grammar of all tools of a request."""
_MAX_LITERAL = 1 << 13
_LONG_LITERAL = re.compile(rf'[^"]{{{_MAX_LITERAL + 1}}}')
"""llguidance finds all forced tokens of a literal at once, in superlinear time and without releasing the GIL."""

_MAX_CHECKED = 1024
"""Grammars whose check is remembered."""

SECONDS_TO_FIND_THE_FAULT = 3
"""Time limit for finding which part of a schema is at fault."""

ALL_TOKENS = 0xFFFFFFFF
"""A word of a mask that allows all of its tokens."""

_KIND_NAMES = {
    "json_object": "the JSON object",
    "json_schema": "the JSON schema",
    "regex": "the regular expression",
    "choice": "the choice",
    "lark": "the lark grammar",
    "tools": "the JSON schema",
}

_CONTROL_TOKEN = re.compile(r"<\[\d+\]>")


class GrammarError(Exception):
    """The grammar could not be followed any further."""


class GrammarMatcher:
    """The state of one answer in its grammar. Not thread-safe."""

    __slots__ = ("_forced", "_matcher", "failure", "field")

    def __init__(self, matcher: "LLMatcher", field: str) -> None:
        self._matcher = matcher
        self._forced: list[int] = []
        self.field = field
        """The request field that the grammar came in."""
        self.failure: str | None = None
        """Why the grammar can't be followed any further; set by fill_masks()."""

    def copy(self) -> "GrammarMatcher":
        """Return a matcher in the same state."""
        return GrammarMatcher(self._matcher.deep_copy(), self.field)

    def fill_masks(self, masks_RW: npt.NDArray[np.uint32], draft: list[int]) -> None:
        """Write a mask of the tokens that may come next, and one of those after each token of the draft.

        After a draft token that may not come, all tokens are allowed: whatever is sampled there is thrown away.
        Releases the GIL. Sets `failure` if the grammar can't be followed any further.
        """
        num_forced = 0
        for row, token in enumerate(self.forced_tokens()[: len(draft) + 1]):
            masks_RW[row] = 0
            masks_RW[row, token >> 5] = 1 << (token & 31)
            if row == len(draft) or draft[row] != token:
                masks_RW[row + 1 :] = ALL_TOKENS
                return
            num_forced += 1
        self._fill_unforced(num_forced, masks_RW, draft)

    def _fill_unforced(self, num_forced: int, masks_RW: npt.NDArray[np.uint32], draft: list[int]) -> None:
        """Write the masks after the first `num_forced` tokens of the draft."""
        matcher, num_consumed = self._matcher, num_forced
        if num_forced:
            matcher.consume_tokens(draft[:num_forced])
        masks_RW[num_forced + 1 :] = ALL_TOKENS
        for row in range(num_forced, len(draft) + 1):
            mask = masks_RW[row]
            matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
            if row == len(draft) or matcher.is_stopped() or not matcher.try_consume_tokens([draft[row]]):
                break
            num_consumed += 1
        if matcher.is_error():
            self.failure = plain_reason(matcher.get_error())
        elif num_consumed:
            matcher.rollback(num_consumed)

    def accept(self, token: int) -> bool:
        """Accept the next token of the answer. Return whether the answer is complete, so that nothing may follow.

        Raises GrammarError.
        """
        # The tokens that were forced after this one still are.
        self._forced = self._forced[1:] if self._forced and self._forced[0] == token else []
        if not self._matcher.consume_token(token):
            raise GrammarError(plain_reason(self._matcher.get_error()))
        return self._matcher.is_stopped()

    def forced_tokens(self) -> list[int]:
        """Return the next tokens for which the grammar leaves no choice."""
        if not self._forced:
            self._forced = self._matcher.compute_ff_tokens()
        return self._forced

    def allowed_prefix(self, draft: list[int]) -> list[int]:
        """Return the draft up to the first token that may not come."""
        return draft[: self._matcher.validate_tokens(draft)]


class GrammarCompiler:
    """Compiles grammars for one model's vocabulary. Thread-safe."""

    def __init__(self, tokenizer: "Tokenizer", vocab_size: int) -> None:
        """`vocab_size`: of the logits, which may have more values than the tokenizer has tokens."""
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._lock = threading.Lock()
        self._vocabulary: LLTokenizer | None = None
        self._checked: OrderedDict[str, str | None] = OrderedDict()
        self._checker: Any = None

    def compile(self, grammar: Grammar) -> GrammarMatcher:
        """Return a matcher in its initial state. Takes milliseconds mostly, seconds at most.

        Raises BadRequest, naming the field, for a grammar that is invalid, matches nothing, or takes too much time or
        memory.
        """
        from llguidance import LLMatcher

        from llmos.engine.text.grammar_checker import parser_limits

        source, sites = _llguidance_source(grammar)
        if not self._tokenizer.eos_ids:
            raise _rejected(grammar, "no answer could end, since the model has no end-of-sequence token")
        if reason := self.reason_against(source, is_for_tools=grammar.kind == "tools"):
            raise _rejected(grammar, self.locate(sites) or reason)
        with self._lock:
            if self._vocabulary is None:
                self._vocabulary = _vocabulary(self._tokenizer, self._vocab_size)
        matcher = LLMatcher(self._vocabulary, source, log_level=0, limits=parser_limits())
        # The checker computed its first mask for another vocabulary.
        if not matcher.is_error():
            matcher.compute_bitmask()
        if matcher.is_error():
            raise _rejected(grammar, plain_reason(matcher.get_error()))
        return GrammarMatcher(matcher, grammar.field)

    def reason_against(self, source: str, *, is_for_tools: bool = False) -> str | None:
        """Return why a grammar in llguidance's own format is rejected, None if it passes."""
        max_bytes = MAX_TOOLS_BYTES if is_for_tools else MAX_GRAMMAR_BYTES
        if len(source.encode(errors="replace")) > max_bytes:
            return f"it has more than {max_bytes:,} bytes"
        if _LONG_LITERAL.search(source):
            return f"a text or an expression in it has more than {_MAX_LITERAL:,} characters"
        if is_for_tools:
            # The checker's vocabulary, which is of bytes, has other control tokens.
            source = _CONTROL_TOKEN.sub("<|tool|>", source)
        with self._lock:
            if source in self._checked:
                self._checked.move_to_end(source)
                return self._checked[source]
            if self._checker is None:
                from llmos.engine.text.grammar_checker import GrammarChecker

                self._checker = GrammarChecker()
            reason: str | None = self._checker.check(source)
            if reason is not None:
                reason = plain_reason(reason)
            self._checked[source] = reason
            if len(self._checked) > _MAX_CHECKED:
                self._checked.popitem(last=False)
        return reason

    def locate(self, sites: Sequence[Site]) -> str | None:
        """Return the path of the first part of a schema that is rejected on its own, with the reason."""
        deadline = time.monotonic() + SECONDS_TO_FIND_THE_FAULT
        for site in sites:
            if time.monotonic() > deadline:
                break
            if reason := self.reason_against(schema_source(site.probe())):
                return f"at {short_path(site.path)}, {reason}"
        return None


def schema_source(schema: Mapping[str, Any] | bool) -> str:
    """Return a prepared schema in llguidance's own format."""
    from llguidance import LLMatcher

    text = json.dumps(schema if isinstance(schema, Mapping) else {"allOf": [schema]}, ensure_ascii=False)
    return LLMatcher.grammar_from_json_schema(text, overrides=JSON_OPTIONS)


def check_compatible(grammar: Grammar, params: SamplingParams) -> None:
    """Raise BadRequest for sampling parameters that conflict with where the grammar ends an answer."""
    for name in ("ignore_eos", "min_tokens", "include_stop"):
        if getattr(params, name):
            raise BadRequest(
                f"{name} can't be combined with {grammar.field}: the format defines where an answer ends. "
                f"Leave {name} out.",
                param=name,
            )


def _llguidance_source(grammar: Grammar) -> tuple[str, Sequence[Site]]:
    """Return the grammar in llguidance's own format, and the parts of its schema that may be at fault if it fails.

    Raises BadRequest.
    """
    from llguidance import LLMatcher

    match grammar.kind:
        case "json_object":
            return schema_source({"type": "object"}), ()
        case "json_schema":
            try:
                prepared = prepare_schema(json.loads(grammar.text), is_strict=True)
            except SchemaError as error:
                raise _rejected(grammar, str(error)) from None
            return schema_source(prepared.schema), prepared.sites
        case "regex":
            return LLMatcher.grammar_from_regex(with_ascii_classes(grammar.text)), ()
        case "choice":
            return LLMatcher.grammar_from_lark(_choices(grammar)), ()
        case "lark" | "tools":
            return LLMatcher.grammar_from_lark(grammar.text), ()


def _choices(grammar: Grammar) -> str:
    choices: list[str] = json.loads(grammar.text)
    if not choices or "" in choices:
        raise _rejected(grammar, "it takes a list of texts, none of them empty")
    return "start: " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)


def _rejected(grammar: Grammar, reason: str) -> BadRequest:
    kind = _KIND_NAMES[grammar.kind]
    return BadRequest(f"{grammar.field} can't be followed: in {kind}, {reason}.", param=grammar.field)


def _vocabulary(tokenizer: "Tokenizer", vocab_size: int) -> "LLTokenizer":
    """Return the model's tokens for llguidance. Takes a tenth of a second for fifty thousand tokens."""
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(
        TokenizerWrapper(_Vocabulary(tokenizer, vocab_size)),
        n_vocab=vocab_size,
        eos_token=sorted(tokenizer.eos_ids),
        slices=LLTokenizer.json_slices(),
    )


class _Vocabulary:
    """A tokenizer with the interface that llguidance's TokenizerWrapper expects."""

    def __init__(self, tokenizer: "Tokenizer", vocab_size: int) -> None:
        self.eos_token_id = min(tokenizer.eos_ids, default=None)
        self.bos_token_id = tokenizer.bos_id
        self.tokens = [tokenizer.token_bytes(token) for token in range(vocab_size)]
        # A control token never matches its own text.
        self.special_token_ids = sorted(token for token in tokenizer.control_ids if token < vocab_size)
        self._encode = tokenizer.fragment_encoder(vocab_size)

    def __call__(self, text: bytes) -> list[int]:
        return self._encode(text)
