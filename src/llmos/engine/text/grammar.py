"""What an answer's text must be, as the set of tokens that may come next. llguidance does the work: an Earley parser
over a lexer of derivatives, whose masks take tens of microseconds.

A GrammarMatcher belongs to one sequence and has accepted all of its tokens: a preempted sequence keeps it, and a draft
is accepted ahead and rolled back.
"""

import json
import re
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, SamplingParams

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

    from llmos.engine.text.tokenizer import Tokenizer

MAX_GRAMMAR_BYTES = 1 << 16
_LITERAL = 1 << 13
_LONG_LITERAL = re.compile(rf'[^"]{{{_LITERAL + 1}}}')
"""What must come is found all at once, without letting go of the GIL, and in more than linear time."""

_MAX_REMEMBERED = 1024
ALL_TOKENS = 0xFFFFFFFF
"""A word of a mask that allows everything."""

_JSON_OPTIONS: "JsonCompileOptions" = {
    # As Python's json.dumps spells it, and most JSON that models have read. Where any space were allowed, a model might
    # write nothing else for ever.
    "item_separator": ", ",
    "key_separator": ": ",
    "whitespace_flexible": False,
    # What is not enforced is refused.
    "coerce_one_of": False,
    "lenient": False,
}

_COUNTS_PROPERTIES = re.compile(r'"minProperties"\s*:\s*(?:[2-9]|\d\d)')

_NAMES = {
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
    """Where one answer stands in its grammar. Not for two threads at once."""

    __slots__ = ("_forced", "_matcher", "failure", "field")

    def __init__(self, matcher: "LLMatcher", field: str) -> None:
        self._matcher = matcher
        self._forced: list[int] = []
        self.field = field
        """What callers call the field that the grammar came in."""
        self.failure: str | None = None
        """Why it can't go on; set by fill()."""

    def copy(self) -> "GrammarMatcher":
        """Return another one that stands where this one does."""
        return GrammarMatcher(self._matcher.deep_copy(), self.field)

    def fill_masks(self, masks_RW: npt.NDArray[np.uint32], draft: list[int]) -> None:
        """Write which tokens may come next, and which behind each token of the draft. Behind one that may not come, all
        may: whatever is sampled there is thrown away. Lets go of the GIL. Sets failure where it can't."""
        num_forced = 0
        for row, token in enumerate(self.forced_tokens()[: len(draft) + 1]):
            masks_RW[row] = 0
            masks_RW[row, token >> 5] = 1 << (token & 31)
            if row == len(draft) or draft[row] != token:
                masks_RW[row + 1 :] = ALL_TOKENS
                return
            num_forced += 1
        self._fill_behind(num_forced, masks_RW, draft)

    def _fill_behind(self, num_forced: int, masks_RW: npt.NDArray[np.uint32], draft: list[int]) -> None:
        """Write the masks from where the grammar leaves a choice."""
        matcher, num_read = self._matcher, num_forced
        if num_forced:
            matcher.consume_tokens(draft[:num_forced])
        masks_RW[num_forced + 1 :] = ALL_TOKENS
        for row in range(num_forced, len(draft) + 1):
            mask = masks_RW[row]
            matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
            if row == len(draft) or matcher.is_stopped() or not matcher.try_consume_tokens([draft[row]]):
                break
            num_read += 1
        if matcher.is_error():
            self.failure = _plain(matcher.get_error())
        elif num_read:
            matcher.rollback(num_read)

    def accept(self, token: int) -> bool:
        """Take the token that was said. Return whether the text is complete: nothing may follow.

        Raises GrammarError.
        """
        # What was forced behind this token still is.
        self._forced = self._forced[1:] if self._forced and self._forced[0] == token else []
        if not self._matcher.consume_token(token):
            raise GrammarError(_plain(self._matcher.get_error()))
        return self._matcher.is_stopped()

    def forced_tokens(self) -> list[int]:
        """Return the tokens that must come next, as far as the grammar leaves no choice."""
        if not self._forced:
            self._forced = self._matcher.compute_ff_tokens()
        return self._forced

    def allowed_prefix(self, draft: list[int]) -> list[int]:
        """Return the draft up to the first token that may not come."""
        return draft[: self._matcher.validate_tokens(draft)]


class GrammarCompiler:
    """Compiles grammars for one model's vocabulary. Safe to use from several threads."""

    def __init__(self, tokenizer: "Tokenizer", vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._lock = threading.Lock()
        self._vocabulary: LLTokenizer | None = None
        self._tried: OrderedDict[str, None] = OrderedDict()
        self._trial: Any = None

    def compile(self, grammar: Grammar) -> GrammarMatcher:
        """Return a matcher at the beginning. Takes milliseconds mostly, seconds at most: not for a thread that others
        wait for. Raises BadRequest, naming the field, for one that is broken, matches nothing, or takes too much."""
        from llguidance import LLMatcher

        from llmos.engine.text.grammar_checker import parser_limits

        if len(grammar.text.encode(errors="replace")) > MAX_GRAMMAR_BYTES:
            raise _refusal(grammar, f"it has more than {MAX_GRAMMAR_BYTES:,} bytes")
        if _LONG_LITERAL.search(grammar.text):
            raise _refusal(grammar, f"a text or an expression in it has more than {_LITERAL:,} characters")
        if not self._tokenizer.eos_ids:
            raise _refusal(grammar, "no answer could end, since the model has no token for an end")
        spelled = _spell(grammar)
        with self._lock:
            # The trial's vocabulary, which is of bytes, has other control tokens.
            tried = _CONTROL_TOKEN.sub("<|tool|>", spelled) if grammar.kind == "tools" else spelled
            if reason := self._try(tried):
                raise _refusal(grammar, _plain(reason))
            if self._vocabulary is None:
                self._vocabulary = _vocabulary(self._tokenizer, self._vocab_size)
        matcher = LLMatcher(self._vocabulary, spelled, log_level=0, limits=parser_limits())
        # The first mask, which the trial had of another vocabulary.
        if not matcher.is_error():
            matcher.compute_bitmask()
        if matcher.is_error():
            raise _refusal(grammar, _plain(matcher.get_error()))
        return GrammarMatcher(matcher, grammar.field)

    def _try(self, spelled: str) -> str | None:
        if spelled in self._tried:
            self._tried.move_to_end(spelled)
            return None
        if self._trial is None:
            from llmos.engine.text.grammar_checker import GrammarChecker

            self._trial = GrammarChecker()
        reason: str | None = self._trial.check(spelled)
        if reason is None:
            self._tried[spelled] = None
            if len(self._tried) > _MAX_REMEMBERED:
                self._tried.popitem(last=False)
        return reason


def check_compatible(grammar: Grammar, params: SamplingParams) -> None:
    """Raise BadRequest for parameters that ask for another end than the grammar's."""
    for name in ("ignore_eos", "min_tokens", "include_stop"):
        if getattr(params, name):
            raise BadRequest(
                f"{name} and {grammar.field} don't go together: the format says where an answer ends. "
                f"Leave {name} out.",
                param=name,
            )


def _spell(grammar: Grammar) -> str:
    """Return the grammar as llguidance reads it. Raises BadRequest."""
    from llguidance import LLMatcher

    match grammar.kind:
        case "json_object":
            return LLMatcher.grammar_from_json_schema({"type": "object"}, overrides=_JSON_OPTIONS)
        case "json_schema":
            if _COUNTS_PROPERTIES.search(grammar.text):
                raise _refusal(
                    grammar,
                    "minProperties above 1 can't be enforced, since a name may come twice; name them in `required`",
                )
            try:
                return LLMatcher.grammar_from_json_schema(grammar.text, overrides=_JSON_OPTIONS)
            except ValueError as error:
                raise _refusal(grammar, _plain(str(error))) from None
        case "regex":
            return LLMatcher.grammar_from_regex(grammar.text)
        case "choice":
            return LLMatcher.grammar_from_lark(_choices(grammar))
        case "lark" | "tools":
            return LLMatcher.grammar_from_lark(grammar.text)


def _choices(grammar: Grammar) -> str:
    choices: list[str] = json.loads(grammar.text)
    if not choices or "" in choices:
        raise _refusal(grammar, "it takes a list of texts, none of them empty")
    return "start: " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)


def _refusal(grammar: Grammar, reason: str) -> BadRequest:
    return BadRequest(f"{grammar.field} can't be followed: in {_NAMES[grammar.kind]}, {reason}.", param=grammar.field)


def _plain(error: str) -> str:
    """llguidance's reason without the state of its parser, on one line."""
    for mark in ("<state>", "<non-verbose/>", "<backtrace>"):
        error = error.partition(mark)[0]
    error = error.replace("Enable 'coerce_one_of' option to approximate oneOf with anyOf", "Use anyOf")
    error = " ".join(error.split()).rstrip(".")
    return "nothing matches it" if error in ("", "NoExtension", "NoExtensionBias") else error[:400]


def _vocabulary(tokenizer: "Tokenizer", vocab_size: int) -> "LLTokenizer":
    """Return the model's tokens as llguidance wants them: a tenth of a second for fifty thousand."""
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(
        TokenizerWrapper(_Vocabulary(tokenizer, vocab_size)),
        n_vocab=vocab_size,
        eos_token=sorted(tokenizer.eos_ids),
        slices=LLTokenizer.json_slices(),
    )


class _Vocabulary:
    """What llguidance's TokenizerWrapper asks of a tokenizer."""

    def __init__(self, tokenizer: "Tokenizer", vocab_size: int) -> None:
        self.eos_token_id = min(tokenizer.eos_ids, default=None)
        self.bos_token_id = tokenizer.bos_id
        self.tokens = [tokenizer.token_bytes(token) for token in range(vocab_size)]
        # They are never the text that they are spelled with.
        self.special_token_ids = sorted(token for token in tokenizer.control_ids if token < vocab_size)
        self._encode = tokenizer.fragment_encoder(vocab_size)

    def __call__(self, text: bytes) -> list[int]:
        return self._encode(text)
