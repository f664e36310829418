"""Adding 1,000 pages to knowledge beside embedding the same texts alone; `data.py --only knowledge-adding` runs it.

The pages are English, in documents of twenty: PDF, DOCX, HTML and Markdown in turns. Both embed with the catalog's
minilm, which is pulled if need be, in one replica of this process: what differs is parsing, cutting and writing.
"""

import os
import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from pydoc_data.topics import topics

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from llmos.cli.pipeline_backend import PipelineEmbedding
from llmos.core.config import Settings, load_settings
from llmos.core.errors import ModelNotFound
from llmos.data.knowledge.adding import add_documents
from llmos.data.knowledge.batching import BATCH_TEXTS, BATCHES_UNDER_WAY
from llmos.data.knowledge.embedder import Embedder, Role, Vectors
from llmos.data.knowledge.knowledge import Knowledge, ProjectKnowledge
from llmos.data.knowledge.sources import SourceDocument, find_documents
from llmos.gateway.knowledge_embedder import embedder_opener
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from support.document_files import make_docx, make_pdf, paragraph

PAGES_PER_DOCUMENT = 20
PARAGRAPHS_PER_PAGE = 5
SENTENCES_PER_PARAGRAPH = 4


def measure_adding(num_pages: int, num_parts: int, settings: Settings | None = None) -> None:
    """Add the pages in parts, and embed the texts of each part alone after it; print both times and their ratio.

    Parts in turns share what else runs on the machine. The knowledge grows: each part makes a version with all pages
    so far, and its index.
    """
    settings = settings or load_settings()
    registry = open_registry(settings)
    try:
        registry.resolve("minilm")
    except ModelNotFound:
        Transfers(registry).pull_from_catalog("minilm")
    with tempfile.TemporaryDirectory() as folder, PipelineEmbedding(settings) as embedding:
        write_pages(Path(folder) / "pages", num_pages)
        embedder = _Recorder(embedder_opener(registry, embedding.embed)("minilm"))
        embedder.embed(["warm up"], "document").result()
        knowledge = Knowledge(registry.database, registry.store).of("benchmark")
        sources = find_documents(Path(folder) / "pages")
        try:
            adding, alone = _measure_parts(knowledge, embedder, [sources[i::num_parts] for i in range(num_parts)])
        finally:
            knowledge.remove("pages")
    print(
        f"{num_pages:,} pages: {adding.wall:.1f} s, {adding.wall / alone.wall:.2f} times as long as embedding alone;"
        f" {adding.cpu:.1f} s of CPU, {adding.cpu / alone.cpu:.2f} times as much"
    )


@dataclass(slots=True)
class Times:
    """Seconds of the clock, and of CPU time of this process and all that it has started."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def measuring(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), cpu_seconds(os.getpid())
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += cpu_seconds(os.getpid()) - cpu


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process and its descendants, those that have ended included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for task in Path(f"/proc/{process}/task").iterdir():
        children += (task / "children").read_text().split() if task.name != str(process) else []
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, map(int, children)))


def _measure_parts(
    knowledge: ProjectKnowledge, embedder: "_Recorder", parts: Sequence[Sequence[SourceDocument]]
) -> tuple[Times, Times]:
    adding, alone = Times(), Times()
    for part in parts:
        embedder.texts.clear()
        with adding.measuring():
            add_documents(knowledge, "pages", part, lambda ref: embedder)
        texts = [*embedder.texts]
        with alone.measuring():
            _embed(embedder, texts)
        print(f"adding {adding.wall:.1f} s so far, embedding {len(texts):,} texts alone {alone.wall:.1f} s", flush=True)
    return adding, alone


class _Recorder:
    """An embedder that keeps what it embeds."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder, self.texts = embedder, list[str]()
        self.ref, self.digest, self.max_tokens = embedder.ref, embedder.digest, embedder.max_tokens
        self.count_tokens = embedder.count_tokens

    def embed(self, texts: Sequence[str], role: Role) -> "Future[Vectors]":
        self.texts += texts
        return self._embedder.embed(texts, role)


def write_pages(folder: Path, num_pages: int) -> None:
    """Write documents of English paragraphs with headings, in four formats in turns."""
    folder.mkdir()
    sentences = cycle(_sentences())
    writers = cycle((("pdf", _pdf), ("docx", _docx), ("html", _html), ("md", _markdown)))
    for number in range(num_pages // PAGES_PER_DOCUMENT):
        suffix, write = next(writers)
        pages = [(f"Section {number}.{page}", _paragraphs(sentences)) for page in range(PAGES_PER_DOCUMENT)]
        (folder / f"document{number:04}.{suffix}").write_bytes(write(pages))


Page = tuple[str, Sequence[str]]
"""A heading and paragraphs."""


def _paragraphs(sentences: Iterator[str]) -> list[str]:
    return [" ".join(islice(sentences, SENTENCES_PER_PARAGRAPH)) for _ in range(PARAGRAPHS_PER_PAGE)]


def _sentences() -> list[str]:
    """Return sentences of the documentation of Python, in a fixed order."""
    text = " ".join(" ".join(each.split()) for each in topics.values())
    found = [sentence.strip() + "." for sentence in text.split(". ") if 40 < len(sentence) < 200]
    random.Random(0).shuffle(found)
    return found


def _pdf(pages: Sequence[Page]) -> bytes:
    return make_pdf(*([heading, *(line for text in texts for line in _lines(text))] for heading, texts in pages))


def _docx(pages: Sequence[Page]) -> bytes:
    parts = [[paragraph(heading, "heading1"), *map(paragraph, texts)] for heading, texts in pages]
    return make_docx("".join(part for each in parts for part in each))


def _html(pages: Sequence[Page]) -> bytes:
    parts = [f"<h1>{heading}</h1>" + "".join(f"<p>{text}</p>" for text in texts) for heading, texts in pages]
    return f"<html><body><main>{''.join(parts)}</main></body></html>".encode()


def _markdown(pages: Sequence[Page]) -> bytes:
    return "\n\n".join("\n\n".join([f"# {heading}", *texts]) for heading, texts in pages).encode()


def _lines(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[start : start + 12]) for start in range(0, len(words), 12)]


def _embed(embedder: Embedder, texts: Sequence[str]) -> None:
    """Embed the texts in batches, several at once."""
    under_way: deque[Future[Vectors]] = deque()
    for start in range(0, len(texts), BATCH_TEXTS):
        under_way.append(embedder.embed(texts[start : start + BATCH_TEXTS], "document"))
        if len(under_way) == BATCHES_UNDER_WAY:
            under_way.popleft().result()
    for each in under_way:
        each.result()
