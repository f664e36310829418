"""Text to tokens and back. A user's text never becomes a control token.

There are three ways in which it could, and all are prevented: the library finds control strings in ordinary text (which
is turned off); merges build one from pieces (the result is checked and the text split); or the text passes through a
chat template, which may write control strings (those of the user are escaped, see control_strings.py).
"""

import threading
from bisect import insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tokenizers

from llmos.core.errors import BadRequest, LLMOSError, UnsupportedModel
from llmos.engine.text.tokenizer.control_strings import ControlStringEscaper
from llmos.engine.text.tokenizer.control_tokens import written_by_template
from llmos.engine.text.tokenizer.cut_calls import mark_cut_calls
from llmos.engine.text.tokenizer.detokenizer import Detokenizer
from llmos.engine.text.tokenizer.fragment_encoder import FragmentEncoder
from llmos.engine.text.tokenizer.from_files import parts_from_files
from llmos.engine.text.tokenizer.from_gguf import parts_from_gguf
from llmos.engine.text.tokenizer.library import library_errors
from llmos.engine.text.tokenizer.parts import TokenizerParts
from llmos.engine.text.tokenizer.space_prefix import SpacePrefix
from llmos.engine.text.tokenizer.template import ChatTemplate
from llmos.engine.text.tokenizer.token_counter import has_independent_words

INFILL_TOKENS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen, CodeGemma
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),  # Code Llama
)
"""The tokens before a text, at its gap, and after it, when a model fills in the middle."""


@dataclass(frozen=True, slots=True)
class PairFrame:
    """The frame of a pair of texts: before, first text, between, second text, behind."""

    before: list[int]
    between: list[int]
    behind: list[int]
    between_types: list[int]
    """The token types of `between`."""
    first_type: int
    """The type of the tokens of the first text and before it."""
    second_type: int
    """The type of the tokens of the second text and behind it."""

    @property
    def num_tokens(self) -> int:
        return len(self.before) + len(self.between) + len(self.behind)

    def pack(self, first: list[int], second: list[int]) -> list[int]:
        """Return the tokens of a pair."""
        return [*self.before, *first, *self.between, *second, *self.behind]

    def types(self, first: list[int], second: list[int]) -> list[int]:
        """Return the types of these tokens."""
        return [
            *[self.first_type] * (len(self.before) + len(first)),
            *self.between_types,
            *[self.second_type] * (len(second) + len(self.behind)),
        ]


class Tokenizer:
    """A model's tokenizer and chat template. Thread-safe."""

    def __init__(self, parts: TokenizerParts) -> None:
        self._parts = parts
        self._backend = parts.backend
        self._lock = threading.Lock()
        self.control_ids: frozenset[int] = frozenset(parts.control.values())
        """The tokens without text of their own, such as <|im_end|>."""
        # Text may become the unknown token, unless the model also uses that as BOS or EOS.
        self._forbidden_ids = self.control_ids - ({parts.unknown_id} - {parts.bos_id, *parts.eos_ids})
        self._written = {**parts.written, **parts.control}
        """The texts that in a chat only the template may turn into tokens, with their ids."""
        self._forbidden_in_chats = self._forbidden_ids | frozenset(parts.written.values())
        self._prefix = SpacePrefix(self._backend)
        self._bytes: dict[int, bytes] = {}
        self.vocab_size: int = parts.vocab_size
        self.bos_id: int | None = parts.bos_id
        self.eos_ids: frozenset[int] = parts.eos_ids
        self.has_template: bool = parts.template is not None
        self.warnings: Sequence[str] = parts.warnings

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any]) -> "Tokenizer":
        """Build a tokenizer from the metadata of a GGUF file. Raises BadModelFile or UnsupportedModel."""
        return cls(parts_from_gguf(metadata))

    @classmethod
    def from_files(cls, files: Mapping[str, Path]) -> "Tokenizer":
        """Build a tokenizer from a Hugging Face folder (file name -> path). Raises BadModelFile or UnsupportedModel."""
        return cls(parts_from_files(files))

    def warm_up(self) -> None:
        """Import Jinja and compile the template, so that the first chat needn't wait for it. Errors of the template are
        left to the chats to report."""
        with suppress(LLMOSError):
            self._escaper, self.template  # noqa: B018  (cached properties)

    def template_text(self, *, with_tools: bool = False) -> str:
        """Return the source of the chat template, or of that for conversations with tools. "": there is none."""
        return (self._parts.tool_template if with_tools else None) or self._parts.template or ""

    # --- text to tokens

    def encode(self, text: str, *, add_bos: bool = True, find_control: bool = False) -> list[int]:
        """Return the tokens of plain text, in which "<|im_end|>" is ten characters. With `add_bos` they begin with BOS
        if the model was trained so.

        `find_control`: "<|im_end|>" is the control token, as in a prompt that somebody has rendered himself.
        """
        if find_control:
            token_ids = self._encode_pieces(self._escaper.split(text))
            add_bos = add_bos and token_ids[:1] != [self.bos_id]
        else:
            token_ids = self._encode_text(text, self._forbidden_ids)
        if add_bos and self._parts.adds_bos and self.bos_id is not None:
            token_ids.insert(0, self.bos_id)
        return token_ids

    def encode_infill(self, prefix: str, suffix: str) -> list[int]:
        """Return the tokens of a text with a gap, which the answer fills. Control strings in it stay text.

        Raises BadRequest for a model that was not trained to fill in the middle.
        """
        for names in INFILL_TOKENS:
            before, gap, after = (self._backend.token_to_id(name) for name in names)
            if before is not None and gap is not None and after is not None:
                forbidden = self._forbidden_in_chats
                bos = [self.bos_id] if self._parts.adds_bos and self.bos_id is not None else []
                return [
                    *bos,
                    before,
                    *self._encode_text(prefix, forbidden),
                    gap,
                    *self._encode_text(suffix, forbidden),
                    after,
                ]
        raise BadRequest(
            "The model can't insert text before a suffix: it has no tokens for that. Leave `suffix` out.",
            param="suffix",
        )

    @property
    def has_independent_words(self) -> bool:
        """Each word between spaces is tokenized alone."""
        return has_independent_words(self._backend)

    def unknown_share(self, text: str) -> float:
        """Return the share of a text's tokens that are the unknown token, 0 to 1. 0 where the tokenizer has none."""
        token_ids = self.encode(text, add_bos=False)
        unknown_id = self._parts.unknown_id
        return 0.0 if unknown_id is None or not token_ids else token_ids.count(unknown_id) / len(token_ids)

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode several texts without BOS. Much faster than encode() in a loop."""
        return self._encode_batch(self._backend, texts)

    def encode_inside(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode texts that stand inside a longer one: without BOS, and without the space that SentencePiece adds."""
        return self._encode_batch(self._prefix.without, texts)

    @cached_property
    def affixes(self) -> tuple[list[int], list[int]]:
        """The control tokens before and after a single text, such as [CLS] and [SEP], by the tokenizer's file."""
        with self._lock, library_errors(_convert_error):
            alone = self._backend.encode("a", add_special_tokens=False)
            framed = self._backend.post_process(alone, None, True)
        is_text = [not is_special for is_special in framed.special_tokens_mask]
        begin = is_text.index(True)
        return framed.ids[:begin], framed.ids[begin + sum(is_text) :]

    @cached_property
    def pair_frame(self) -> "PairFrame":
        """The control tokens around and between a pair of texts, by the tokenizer's file.

        Raises UnsupportedModel if the file changes the order of the texts.
        """
        with self._lock, library_errors(_convert_error):
            alone = self._backend.encode("a", add_special_tokens=False)
            framed = self._backend.post_process(alone, alone, True)
        is_text = [not is_special for is_special in framed.special_tokens_mask]
        if not alone.ids or sum(is_text) != 2 * len(alone.ids):
            raise UnsupportedModel("The tokenizer doesn't say how pairs of texts are framed.")
        texts = [i for i, each in enumerate(is_text) if each]
        first_end, second = texts[len(alone.ids) - 1] + 1, texts[len(alone.ids)]
        return PairFrame(
            before=framed.ids[: texts[0]],
            between=framed.ids[first_end:second],
            behind=framed.ids[texts[-1] + 1 :],
            between_types=framed.type_ids[first_end:second],
            first_type=framed.type_ids[texts[0]],
            second_type=framed.type_ids[second],
        )

    def with_template(self, source: str) -> "Tokenizer":
        """Return the same tokenizer with another chat template."""
        added = self._backend.get_added_tokens_decoder().items()
        plain = {token.content: token_id for token_id, token in added if not token.special}
        written = {text: plain[text] for text in written_by_template(plain, (), source)}
        return Tokenizer(replace(self._parts, template=source, tool_template=None, written=written))

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        variables: Mapping[str, Any] = MappingProxyType({}),
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        answer_tags: Collection[str] = (),
        with_tools: bool = False,
    ) -> list[int]:
        """Return the tokens of the messages, rendered by the model's chat template.

        Control strings in the messages and in `variables` (further variables of the template) stay text, and so does
        what the template writes as markers. With `continue_final_message` the prompt ends where the last message's
        content ends, so that the answer continues it. `answer_tags`: markers with text of their own, such as <think>,
        that the model writes in its answers; in an assistant's messages they are the tokens that the model wrote.
        `with_tools` uses the template for conversations with tools, if the model has two.

        Raises BadRequest where the model has no template, or the template rejects the messages.
        """
        if taken := sorted({"messages", "add_generation_prompt", *self._parts.template_variables} & variables.keys()):
            raise BadRequest(f"{taken[0]} can't be set by callers. Leave it out.", param="chat_template_kwargs")
        kept = frozenset(answer_tags).intersection(self._parts.written)
        marked, variables, marker = self._escaper.escape(messages, variables, kept)
        marked, unmark = mark_cut_calls(marked, self._escaper.unused_character)
        end = ""
        if continue_final_message:
            add_generation_prompt = False
            marked, end = self._escaper.mark_end(marked)
        template = self._tool_template if with_tools and self._parts.tool_template is not None else self.template
        prompt = template.render(
            messages=marked,
            add_generation_prompt=add_generation_prompt,
            **self._parts.template_variables,
            **variables,
        )
        prompt = unmark(prompt)
        if continue_final_message:
            prompt = _until_marker(end, prompt)
        pieces = self._escaper.split(prompt)
        if marker is None:
            token_ids = self._encode(self._backend, prompt, find_control=True)
            written = [self._written[piece] for piece in pieces[1::2]]
            if self._only_forbidden(token_ids) == self._only_forbidden(written):
                return token_ids
        return self._encode_pieces([piece.replace(marker, "") if marker else piece for piece in pieces])

    def fragment_encoder(self, vocab_size: int) -> FragmentEncoder:
        """Return an encoder for text inside an answer, for the token ids below `vocab_size`."""
        tokens = [self.token_bytes(token) for token in range(vocab_size)]
        return FragmentEncoder(self._prefix.without, tokens, self.control_ids)

    @cached_property
    def template(self) -> ChatTemplate:
        """The compiled chat template. Raises BadRequest if the model has none."""
        if self._parts.template is None:
            raise BadRequest("This model has no chat template, so it accepts no messages. Send a plain prompt instead.")
        return ChatTemplate(self._parts.template)

    @cached_property
    def _tool_template(self) -> ChatTemplate:
        assert self._parts.tool_template is not None
        return ChatTemplate(self._parts.tool_template)

    @cached_property
    def takes_system_messages(self) -> bool:
        """The chat template shows the model what a system message says."""
        words = "Answer briefly."
        messages = [{"role": "system", "content": words}, {"role": "user", "content": "Hello"}]
        try:
            prompt = self.template.render(
                messages=messages, add_generation_prompt=True, **self._parts.template_variables
            )
        except BadRequest:
            return False
        return words in prompt

    def takes_pairs(self, variables: Mapping[str, Any]) -> bool:
        """Return whether the chat template shows the model a query and a document, as messages with these roles."""
        texts = {"query": "A river.", "document": "A stream of water."}
        messages = [{"role": role, "content": text} for role, text in texts.items()]
        try:
            prompt = self.template.render(
                **{"add_generation_prompt": False, **variables, **self._parts.template_variables}, messages=messages
            )
        except BadRequest:
            return False
        return all(text in prompt for text in texts.values())

    # --- tokens to text

    def decode(self, token_ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Return the text of the tokens, with U+FFFD for bytes that are no characters."""
        to_bytes = self.token_bytes if not skip_special else self._text_bytes
        data = b"".join(map(to_bytes, token_ids))
        if self._parts.piece_decoder.strips_space:
            data = data.removeprefix(b" ")
        return data.decode("utf-8", "replace")

    def detokenizer(self, *, continues_prompt: bool = False, visible_control: Collection[str] = ()) -> Detokenizer:
        """Return a detokenizer for one answer.

        It leaves out control tokens except those in `visible_control`. With `continues_prompt` the answer continues
        the prompt's text, so the space before its first word is kept.
        """
        strips_space = self._parts.piece_decoder.strips_space and not continues_prompt
        shown_ids = {self._parts.control[text] for text in visible_control if text in self._parts.control}
        if not shown_ids:
            return Detokenizer(self._text_bytes, strips_space=strips_space)

        def to_bytes(token_id: int) -> bytes:
            return self.token_bytes(token_id) if token_id in shown_ids else self._text_bytes(token_id)

        return Detokenizer(to_bytes, strips_space=strips_space)

    def control_id(self, text: str) -> int | None:
        """Return the id of the control token with this text, None if there is none."""
        return self._parts.control.get(text)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of a token, b"" for an id without a token."""
        data = self._bytes.get(token_id)
        if data is None:
            text = self._parts.token_text(token_id) if token_id >= 0 else None
            data = self._bytes[token_id] = b"" if text is None else self._parts.piece_decoder.to_bytes(text)
        return data

    def token_text(self, token_id: int) -> str:
        """Return the text of a single token, with U+FFFD for a part of a character."""
        return self.token_bytes(token_id).decode("utf-8", "replace")

    def _text_bytes(self, token_id: int) -> bytes:
        return b"" if token_id in self.control_ids else self.token_bytes(token_id)

    # --- encoding without control tokens

    def _encode_pieces(self, pieces: list[str]) -> list[int]:
        """Encode text, control string, text, …, text (see ControlStringEscaper.split)."""
        added = self._added
        token_ids: list[int] = []
        for i in range(0, len(pieces), 2):
            text = pieces[i]
            if i > 0 and added[pieces[i - 1]].rstrip:
                text = text.lstrip()
            if i + 1 < len(pieces) and added[pieces[i + 1]].lstrip:
                text = text.rstrip()
            token_ids += self._encode_text(text, self._forbidden_in_chats, is_first=i == 0)
            if i + 1 < len(pieces):
                token_ids.append(self._written[pieces[i + 1]])
        return token_ids

    @property
    def _added(self) -> dict[str, tokenizers.AddedToken]:
        """The tokens beside the vocabulary, by their texts."""
        return {token.content: token for token in self._backend.get_added_tokens_decoder().values()}

    def _encode_text(self, text: str, forbidden_ids: frozenset[int], *, is_first: bool = True) -> list[int]:
        """Encode ordinary text without these tokens, also where merges would build one."""
        if not text:
            return []
        backend = self._prefix.without if self._prefix.is_only_first and not is_first else self._backend
        token_ids = self._encode(backend, text)
        if forbidden_ids.isdisjoint(token_ids):
            return token_ids
        return self._encode_split(backend, text, forbidden_ids)

    def _encode_batch(self, backend: tokenizers.Tokenizer, texts: Sequence[str]) -> list[list[int]]:
        """Encode ordinary texts, all in one call of the library."""
        with self._lock, library_errors(_convert_error):
            backend.encode_special_tokens = True
            encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
        found: list[list[int]] = [encoding.ids for encoding in encodings]
        forbidden = self._forbidden_ids
        return [
            token_ids if forbidden.isdisjoint(token_ids) else self._encode_split(backend, text, forbidden)
            for text, token_ids in zip(texts, found, strict=True)
        ]

    def _encode_split(self, first: tokenizers.Tokenizer, text: str, forbidden_ids: frozenset[int]) -> list[int]:
        """Encode the text in parts, split inside everything that would become one of these tokens."""
        splits = [0, len(text)]
        while True:
            token_ids: list[int] = []
            new_splits: set[int] = set()
            for begin, end in pairwise(splits):
                backend = first if begin == 0 else self._prefix.without
                encoding = self._run(backend, text[begin:end], with_offsets=True)
                token_ids += encoding.ids
                for token_id, (left, right) in zip(encoding.ids, encoding.offsets, strict=True):
                    if token_id in forbidden_ids:
                        new_splits |= set(range(begin + left + 1, begin + right))
            if forbidden_ids.isdisjoint(token_ids):
                return token_ids
            if not new_splits - set(splits):
                raise BadRequest("The text has a character that is a control token of this model. Leave it out.")
            for position in new_splits - set(splits):
                insort(splits, position)

    def _only_forbidden(self, token_ids: Iterable[int]) -> list[int]:
        return [token_id for token_id in token_ids if token_id in self._forbidden_in_chats]

    def _encode(self, backend: tokenizers.Tokenizer, text: str, *, find_control: bool = False) -> list[int]:
        token_ids: list[int] = self._run(backend, text, find_control=find_control).ids
        return token_ids

    def _run(
        self, backend: tokenizers.Tokenizer, text: str, *, find_control: bool = False, with_offsets: bool = False
    ) -> tokenizers.Encoding:
        with self._lock, library_errors(_convert_error):
            backend.encode_special_tokens = not find_control
            # The library releases the GIL for batches only, and a long text must not delay the engine's steps.
            encode = backend.encode_batch if with_offsets else backend.encode_batch_fast
            return encode([text], add_special_tokens=False)[0]

    @cached_property
    def _escaper(self) -> ControlStringEscaper:
        templates = self.template_text() + self.template_text(with_tools=True)
        return ControlStringEscaper(self._written, templates)


def _until_marker(end: str, prompt: str) -> str:
    """Return the prompt up to the end of the last message's content. `end`: the marker after it."""
    text, found, rest = prompt.rpartition(end)
    if not found:
        raise BadRequest(
            "The model's chat template leaves out the last message, so it can't be continued. End with a user message.",
            param="messages",
        )
    # If the space after the marker is gone, the template strips content. Then we strip too, as transformers does.
    return text if rest.startswith(" ") else text.rstrip()


def _convert_error(error: BaseException) -> BadRequest:
    if isinstance(error, TypeError | UnicodeEncodeError):
        return BadRequest("The text has half of a surrogate pair, which is not a character. Send valid Unicode.")
    return BadRequest(f"The model's tokenizer fails on this text: {error}.")
