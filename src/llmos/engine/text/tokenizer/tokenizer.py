"""Text to tokens and back, so that a user's text can never become a control token.

Three ways lead from text to a control token, and all are closed: the library finds the control string in ordinary text
(it is told not to look), the merges put it together from pieces (the result is checked and cut apart), or the text
reaches the prompt through a chat template, which may write control strings (the user's are marked before, and unmarked
after the template's own were found).
"""

import threading
from bisect import insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tokenizers

from llmos.core.errors import BadRequest, LLMOSError
from llmos.engine.text.tokenizer.control_strings import ControlStringEscaper
from llmos.engine.text.tokenizer.detokenizer import Detokenizer
from llmos.engine.text.tokenizer.fragment_encoder import FragmentEncoder
from llmos.engine.text.tokenizer.from_files import parts_from_files
from llmos.engine.text.tokenizer.from_gguf import parts_from_gguf
from llmos.engine.text.tokenizer.library import library_errors
from llmos.engine.text.tokenizer.parts import TokenizerParts
from llmos.engine.text.tokenizer.space_prefix import SpacePrefix
from llmos.engine.text.tokenizer.template import ChatTemplate


class Tokenizer:
    """Safe to use from several threads."""

    def __init__(self, parts: TokenizerParts) -> None:
        self._parts = parts
        self._backend = parts.backend
        self._lock = threading.Lock()
        self.control_ids: frozenset[int] = frozenset(parts.control.values())
        """They steer the model, and are no text."""
        # The token for unknown text is what text may become, unless the model also takes it for BOS or EOS.
        self._guarded_ids = self.control_ids - ({parts.unknown_id} - {parts.bos_id, *parts.eos_ids})
        self._prefix = SpacePrefix(self._backend)
        self._bytes: dict[int, bytes] = {}
        self.vocab_size: int = parts.vocab_size
        self.bos_id: int | None = parts.bos_id
        self.eos_ids: frozenset[int] = parts.eos_ids
        self.has_template: bool = parts.template is not None
        self.template_text: str = parts.template or ""

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any]) -> "Tokenizer":
        """Raises BadModelFile or UnsupportedModel."""
        return cls(parts_from_gguf(metadata))

    @classmethod
    def from_files(cls, files: Mapping[str, Path]) -> "Tokenizer":
        """`files` gives the path of each name in a Hugging Face folder. Raises BadModelFile or UnsupportedModel."""
        return cls(parts_from_files(files))

    def warm_up(self) -> None:
        """Do what the first chat would have to wait for: load Jinja and compile the template. What is wrong with the
        template is told to the chats."""
        with suppress(LLMOSError):
            self._escaper, self.template  # noqa: B018  (made when they are first asked for)

    # --- text to tokens

    def encode(self, text: str, *, add_bos: bool = True) -> list[int]:
        """Return the tokens of plain text; "<|im_end|>" in it is ten characters. With `add_bos`, BOS goes before it
        if the model was taught so."""
        token_ids = self._encode_text(text)
        if add_bos and self._parts.adds_bos and self.bos_id is not None:
            token_ids.insert(0, self.bos_id)
        return token_ids

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Return what encode() does of each text, without BOS: all at once cost a fraction of one after another."""
        with self._lock, library_errors(_refused):
            self._backend.encode_special_tokens = True
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        found: list[list[int]] = [encoding.ids for encoding in encodings]
        return [
            token_ids if self._guarded_ids.isdisjoint(token_ids) else self._encode_text(text)
            for text, token_ids in zip(texts, found, strict=True)
        ]

    @cached_property
    def frame(self) -> tuple[list[int], list[int]]:
        """The control tokens that go before and behind a text that stands alone, as the tokenizer's file says."""
        with self._lock, library_errors(_refused):
            alone = self._backend.encode("a", add_special_tokens=False)
            framed = self._backend.post_process(alone, None, True)
        is_text = [not is_special for is_special in framed.special_tokens_mask]
        begin = is_text.index(True)
        return framed.ids[:begin], framed.ids[begin + sum(is_text) :]

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        variables: Mapping[str, Any] = MappingProxyType({}),
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
    ) -> list[int]:
        """Return the tokens of the messages, rendered by the model's chat template.

        Control strings in the messages and in `variables` (further variables of the template) stay text. With
        `continue_final_message` the prompt ends where the last message's content ends, so that the answer continues it.

        Raises BadRequest where the model has no template, or the template rejects the messages.
        """
        if taken := sorted({"messages", "add_generation_prompt", *self._parts.template_variables} & variables.keys()):
            raise BadRequest(f"{taken[0]} is not for callers to set. Leave it out.", param="chat_template_kwargs")
        (marked, variables), mark = self._escaper.escape((messages, variables))
        end = ""
        if continue_final_message:
            add_generation_prompt = False
            marked, end = self._escaper.mark_end(marked)
        prompt = self.template.render(
            messages=marked,
            add_generation_prompt=add_generation_prompt,
            **self._parts.template_variables,
            **variables,
        )
        if continue_final_message:
            prompt = _until_mark(end, prompt)
        pieces = self._escaper.split(prompt)
        if mark is None:
            token_ids = self._encode(self._backend, prompt, find_control=True)
            written = [self._parts.control[piece] for piece in pieces[1::2]]
            if self._guarded(token_ids) == self._guarded(written):
                return token_ids
        return self._encode_pieces([piece.replace(mark, "") if mark else piece for piece in pieces])

    def fragment_encoder(self, vocab_size: int) -> FragmentEncoder:
        """Return what encodes text in the middle of an answer, in the first `vocab_size` tokens."""
        tokens = [self.token_bytes(token) for token in range(vocab_size)]
        return FragmentEncoder(self._prefix.without, tokens, self.control_ids)

    @cached_property
    def template(self) -> ChatTemplate:
        """Raises BadRequest where the model has none."""
        if self._parts.template is None:
            raise BadRequest(
                "This model has no chat template, so it takes no messages. Send it a plain prompt instead."
            )
        return ChatTemplate(self._parts.template)

    # --- tokens to text

    def decode(self, token_ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Return the text of the tokens, U+FFFD where their bytes are no characters."""
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
        """Return the control token that this string is, None where it is none."""
        return self._parts.control.get(text)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that the token stands for: none for a number without a token."""
        data = self._bytes.get(token_id)
        if data is None:
            text = self._parts.token_text(token_id) if token_id >= 0 else None
            data = self._bytes[token_id] = b"" if text is None else self._parts.piece_decoder.to_bytes(text)
        return data

    def token_text(self, token_id: int) -> str:
        """Return the token alone as text, U+FFFD where it holds part of a character."""
        return self.token_bytes(token_id).decode("utf-8", "replace")

    def _text_bytes(self, token_id: int) -> bytes:
        return b"" if token_id in self.control_ids else self.token_bytes(token_id)

    # --- how text stays text

    def _encode_pieces(self, pieces: list[str]) -> list[int]:
        """Encode text, control string, text, …, text."""
        added = {token.content: token for token in self._backend.get_added_tokens_decoder().values()}
        token_ids: list[int] = []
        for i in range(0, len(pieces), 2):
            text = pieces[i]
            if i > 0 and added[pieces[i - 1]].rstrip:
                text = text.lstrip()
            if i + 1 < len(pieces) and added[pieces[i + 1]].lstrip:
                text = text.rstrip()
            token_ids += self._encode_text(text, is_first=i == 0)
            if i + 1 < len(pieces):
                token_ids.append(self._parts.control[pieces[i + 1]])
        return token_ids

    def _encode_text(self, text: str, *, is_first: bool = True) -> list[int]:
        """Encode ordinary text. No control token comes out, whatever the merges would make of it."""
        if not text:
            return []
        backend = self._prefix.without if self._prefix.is_only_first and not is_first else self._backend
        token_ids = self._encode(backend, text)
        if self._guarded_ids.isdisjoint(token_ids):
            return token_ids
        return self._encode_cut(backend, text)

    def _encode_cut(self, first: tokenizers.Tokenizer, text: str) -> list[int]:
        """Encode the text in parts, cut inside every stretch that would become a control token."""
        cuts = [0, len(text)]
        while True:
            token_ids: list[int] = []
            new_cuts: set[int] = set()
            for begin, end in pairwise(cuts):
                backend = first if begin == 0 else self._prefix.without
                encoding = self._run(backend, text[begin:end], with_offsets=True)
                token_ids += encoding.ids
                for token_id, (left, right) in zip(encoding.ids, encoding.offsets, strict=True):
                    if token_id in self._guarded_ids:
                        new_cuts |= set(range(begin + left + 1, begin + right))
            if self._guarded_ids.isdisjoint(token_ids):
                return token_ids
            if not new_cuts - set(cuts):
                raise BadRequest("The text has a character that this model takes for a control token. Leave it out.")
            for cut in new_cuts - set(cuts):
                insort(cuts, cut)

    def _guarded(self, token_ids: Iterable[int]) -> list[int]:
        return [token_id for token_id in token_ids if token_id in self._guarded_ids]

    def _encode(self, backend: tokenizers.Tokenizer, text: str, *, find_control: bool = False) -> list[int]:
        token_ids: list[int] = self._run(backend, text, find_control=find_control).ids
        return token_ids

    def _run(
        self, backend: tokenizers.Tokenizer, text: str, *, find_control: bool = False, with_offsets: bool = False
    ) -> tokenizers.Encoding:
        with self._lock, library_errors(_refused):
            backend.encode_special_tokens = not find_control
            # The library lets go of the GIL for batches only; a long text must not hold up the steps of others.
            encode = backend.encode_batch if with_offsets else backend.encode_batch_fast
            return encode([text], add_special_tokens=False)[0]

    @cached_property
    def _escaper(self) -> ControlStringEscaper:
        return ControlStringEscaper(self._parts.control, self._parts.template or "")


def _until_mark(end: str, prompt: str) -> str:
    """Cut the prompt where the last message's content ends."""
    text, found, rest = prompt.rpartition(end)
    if not found:
        raise BadRequest(
            "The model's chat template leaves out the last message, so no answer can go on in it. "
            "End with a message of the user's.",
            param="messages",
        )
    # Where the space behind the mark is gone, the template trims what it is given: so do we, as transformers does.
    return text if rest.startswith(" ") else text.rstrip()


def _refused(error: BaseException) -> BadRequest:
    if isinstance(error, TypeError | UnicodeEncodeError):
        return BadRequest("The text holds half of a surrogate pair, which is no character. Send valid Unicode.")
    return BadRequest(f"The model's tokenizer fails on this text: {error}.")
