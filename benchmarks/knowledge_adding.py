"""Adding 1,000 pages to knowledge beside embedding the same texts alone; `data.py --only knowledge-adding` runs it.

The pages are English, in documents of twenty: PDF, DOCX, HTML and Markdown in turns. Both embed with the catalog's
minilm, which is pulled if need be, in one replica of this process: what differs is parsing, cutting and writing.
"""

import random
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import cycle, islice
from pathlib import Path
from pydoc_data.topics import topics

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from llmos.cli.pipeline_backend import PipelineEmbedding
from llmos.core.config import Settings, load_settings
from llmos.core.errors import ModelNotFound
from llmos.core.store.store import Store
from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.embedder import Embedder, Vectors
from llmos.data.knowledge.entries import read_chunks
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.knowledge.preparing import BATCH_TEXTS, BATCHES_UNDER_WAY
from llmos.data.knowledge.sources import find_documents
from llmos.gateway.knowledge_embedder import embedder_opener
from llmos.models import open_registry
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from support.document_files import make_docx, make_pdf, paragraph

PAGES_PER_DOCUMENT = 20
PARAGRAPHS_PER_PAGE = 5
SENTENCES_PER_PARAGRAPH = 4


def measure_adding(num_pages: int, repeats: int, settings: Settings | None = None) -> None:
    """Add pages and embed their texts in turns, and print both times and their ratio."""
    settings = settings or load_settings()
    registry = open_registry(settings)
    try:
        registry.resolve("minilm")
    except ModelNotFound:
        Transfers(registry).pull_from_catalog("minilm")
    with tempfile.TemporaryDirectory() as folder, PipelineEmbedding(settings) as embedding:
        sources = Path(folder) / "pages"
        write_pages(sources, num_pages)
        embedder = embedder_opener(registry, embedding.embed)("minilm")
        embedder.embed(["warm up"], "document").result()
        adding, alone = [], []
        for number in range(repeats):
            seconds, texts = _add(registry, f"run{number}", sources, embedder)
            adding.append(seconds)
            alone.append(_embed(embedder, texts))
            print(f"adding {adding[-1]:.1f} s, embedding {len(texts):,} texts alone {alone[-1]:.1f} s", flush=True)
    ratios = [one / other for one, other in zip(adding, alone, strict=True)]
    print(
        f"{num_pages:,} pages: {statistics.median(adding):.1f} s, {statistics.median(ratios):.2f} times as long as"
        f" embedding alone (medians of {repeats})"
    )


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


def _add(registry: Registry, name: str, sources: Path, embedder: Embedder) -> tuple[float, list[str]]:
    """Add all pages to an empty store; return the seconds, and the texts that were embedded."""
    with tempfile.TemporaryDirectory() as folder:
        knowledge = Knowledge(registry.database, Store(Path(folder))).of("benchmark")
        began = time.perf_counter()
        version = sync_documents(knowledge, name, find_documents(sources), lambda ref: embedder)
        seconds = time.perf_counter() - began
        documents = knowledge.documents(version)
        texts = [chunk.text for each in documents for chunk in read_chunks(knowledge.entry_path(each))]
        knowledge.remove(name)
    return seconds, texts


def _embed(embedder: Embedder, texts: Sequence[str]) -> float:
    """Embed the texts in batches, several at once; return the seconds."""
    began = time.perf_counter()
    under_way: deque[Future[Vectors]] = deque()
    for start in range(0, len(texts), BATCH_TEXTS):
        under_way.append(embedder.embed(texts[start : start + BATCH_TEXTS], "document"))
        if len(under_way) == BATCHES_UNDER_WAY:
            under_way.popleft().result()
    for each in under_way:
        each.result()
    return time.perf_counter() - began
