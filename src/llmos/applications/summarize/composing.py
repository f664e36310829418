"""Composing: a summary that a model writes, of a document of any length, with the places that each sentence rests on.

    chunks of the document      ▢ ▢ ▢ ▢ ▢ ▢ ▢ ▢ ▢      each is summarized, all at once
    summaries of them            ▢───▢───▢  …          up to eight are summarized together, until one is left
    the summary                       ▢

A sentence of the summary is traced down: by leave-one-out to the summaries that it rests on, then to those below them,
and at last to passages of the document. A sentence that reaches none is unsupported,
and so is one with a number or a date that the document doesn't have.
"""

import asyncio
import itertools
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from llmos.applications.figures import figures_in, readings_in
from llmos.applications.passages import ask_about, count_about
from llmos.applications.summarize.aspects import Aspect
from llmos.applications.summarize.chunking import chunks_of, passages_of
from llmos.applications.summarize.documents import Document
from llmos.applications.summarize.extracting import Length
from llmos.apps import Sentence, cite
from llmos.core.schemas.knowledge import Citation, SearchHit
from llmos.core.sentences import sentences_in

_FANOUT = 8
"""The summaries that are summarized together. Leave-one-out needs a call for each."""
_PASSAGES = 6
"""About as many passages has a chunk; citations name them."""
_PARTS_CITED = 2
"""The summaries that a sentence is traced to, at each level."""
_TOKENS_PER_SENTENCE = 60
_BYTES_PER_TOKEN = 2
"""A careful guess, for models at providers: they count no tokens, and take long prompts."""
_PART = Length(sentences=3)
"""The length of the summaries below the last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Composed:
    """A summary that a model wrote."""

    text: str
    sentences: Sequence[Sentence] = ()
    """All that it wrote, with what each rests on; none with a problem."""
    problem: str = ""
    """Why no sentence was checked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Node:
    """A summary, and what it is made of."""

    passages: Sequence[SearchHit]
    children: "Sequence[_Node]" = ()
    """Behind each passage, the summary that it is; those of a chunk have none."""
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Composer:
    """Composes one summary, within a run."""

    document: Document
    aspect: Aspect
    length: Length
    chunk_tokens: int
    """The most tokens of a prompt with a part of the document; less if the model takes less."""

    async def compose(self) -> Composed:
        """Return the summary. Raises LimitReached, and the errors of the server."""
        nodes = await self._summarized_chunks()
        while len(nodes) > 1:
            nodes = await self._merged(nodes)
        if not nodes or not nodes[0].summary:
            return Composed(text="")
        root = nodes[0]
        traced = await self._traced(root)
        if isinstance(traced, str):
            return Composed(text=root.summary, problem=traced)
        known = await asyncio.to_thread(readings_in, self.document.text)
        return Composed(text=root.summary, sentences=[_with_known_figures(each, known) for each in traced])

    # Writing

    async def _summarized_chunks(self) -> "list[_Node]":
        room = await self._room()
        spans = await chunks_of(self.document.text, room, self._count)
        chunks = [_Node(passages=self._passages(span)) for span in spans]
        length = self.length if len(chunks) == 1 else _PART
        nodes = await asyncio.gather(*(self._summarized(each, length) for each in chunks))
        return [each for each in nodes if each.summary]

    async def _merged(self, nodes: "Sequence[_Node]") -> "list[_Node]":
        """Return a summary of each few neighbours."""
        number = -(-len(nodes) // _FANOUT)
        bounds = [len(nodes) * index // number for index in range(number + 1)]
        groups = [nodes[first:last] for first, last in itertools.pairwise(bounds)]
        length = self.length if number == 1 else _PART
        merged = await asyncio.gather(*(self._summarized(_parent(group), length) for group in groups))
        # A part for which the model returns an empty summary isn't lost: the first summary below it takes its place.
        return [each if each.summary else group[0] for each, group in zip(merged, groups, strict=True)]

    async def _summarized(self, node: _Node, length: Length) -> _Node:
        options = {"max_tokens": _max_tokens(length)}
        answer = await ask_about(node.passages, self._question(length), options=options)
        spans = [*sentences_in(answer.text)]
        if answer.finish_reason == "length" and len(spans) > 1:
            spans.pop()
        texts = [answer.text[start:end] for start, end in spans]
        return replace(node, summary=" ".join(texts[: length.keep(texts)]))

    def _question(self, length: Length) -> str:
        number = "one sentence" if length.sentences == 1 else f"at most {length.sentences} sentences"
        words = f" and at most {length.words} words" if length.words is not None else ""
        answer = " Answer" if self.aspect.question.endswith("?") else ""
        return f"{self.aspect.question}{answer} in {number}{words}."

    def _passages(self, span: tuple[int, int]) -> list[SearchHit]:
        return [_hit(self.document.cite(each)) for each in passages_of(self.document.text, span, _PASSAGES)]

    async def _room(self) -> int:
        """Return the most tokens of a prompt, so that the answer fits behind it."""
        counted = await count_about([], self._question(self.length))
        if counted is None:
            return self.chunk_tokens
        return min(self.chunk_tokens, counted.context_length - max(_max_tokens(self.length), _max_tokens(_PART)))

    async def _count(self, text: str) -> int:
        spans = passages_of(text, (0, len(text)), _PASSAGES) if text else []
        hits = [_hit(Citation(document=self.document.name, quote=text[start:end])) for start, end in spans]
        counted = await count_about(hits, self._question(_PART))
        return len(text.encode(errors="replace")) // _BYTES_PER_TOKEN if counted is None else counted.num_tokens

    # Tracing

    async def _traced(self, root: _Node) -> list[Sentence] | str:
        """Return the sentences of the summary with the places in the document that they rest on, or a problem."""
        cited = await cite(root.summary, self._question(self.length), root.passages)
        if cited.problem:
            return cited.problem
        if not root.children:
            return [*cited.sentences]
        return [*await asyncio.gather(*(self._traced_below(root, each) for each in cited.sentences))]

    async def _traced_below(self, node: _Node, sentence: Sentence) -> Sentence:
        """Return a sentence with the places that it rests on, where its citations are those of summaries."""
        children = [node.children[each.start] for each in sentence.citations[:_PARTS_CITED]]
        found = await asyncio.gather(*(self._rests_on(child, sentence.text) for child in children))
        places = dict.fromkeys(_key(each) for several in found for each in several)
        by_key = {_key(each): each for several in found for each in several}
        citations = tuple(by_key[key] for key in places)
        return Sentence(text=sentence.text, citations=citations, is_supported=bool(citations))

    async def _rests_on(self, node: _Node, text: str) -> Sequence[Citation]:
        cited = await cite(text, self._question(_PART), node.passages)
        if not node.children:
            return [citation for each in cited.sentences for citation in each.citations]
        below = await asyncio.gather(*(self._traced_below(node, each) for each in cited.sentences))
        return [citation for each in below for citation in each.citations]


def _with_known_figures(sentence: Sentence, known: Set[str]) -> Sentence:
    """Return a sentence, as unsupported if it has a figure that the document doesn't have."""
    if all(each.readings & known for each in figures_in(sentence.text)):
        return sentence
    return Sentence(text=sentence.text, is_supported=False)


def _parent(children: "Sequence[_Node]") -> _Node:
    """Return what is made of summaries. The citation of each has its index as `start`."""
    hits = [_hit(Citation(document="part", start=index, quote=each.summary)) for index, each in enumerate(children)]
    return _Node(passages=hits, children=children)


def _hit(citation: Citation) -> SearchHit:
    return SearchHit(text=citation.quote, citation=citation)


def _key(citation: Citation) -> tuple[int, int]:
    return citation.start, citation.end


def _max_tokens(length: Length) -> int:
    wanted = _TOKENS_PER_SENTENCE * length.sentences + 20
    return wanted if length.words is None else min(wanted, 2 * length.words + 20)
