"""llmos knowledge: add, sync, list, search, show, documents, remove, eval, rm, tag, describe, alias."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmos.cli import options
from llmos.cli.aliases import alias_group
from llmos.cli.control import open_control
from llmos.cli.knowledge_hits import print_hits
from llmos.cli.knowledge_report import print_report
from llmos.cli.labels import add_label_commands
from llmos.cli.named_nouns import KNOWLEDGE
from llmos.cli.output import (
    fields_of,
    print_json,
    print_table,
    readable_size,
    readable_tags,
    stderr,
    stdout,
)
from llmos.cli.progress import progress_bar
from llmos.cli.version_output import print_known_facts, print_removed, print_versions
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.plurals import counted
from llmos.core.schemas.knowledge import DocumentDescription, KnowledgeDescription, MetadataValue

if TYPE_CHECKING:
    from llmos.cli.control.port import ControlPort
    from llmos.client.knowledge_calls import AddSettings, SearchSettings

_Knowledge = Annotated[str, typer.Argument(metavar="KNOWLEDGE", help=options.REFERENCE)]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the knowledge.")]
_Embedding = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="The model that makes the vectors.", show_default="as before; minilm at first"),
]
_MaxTokens = Annotated[
    int | None,
    typer.Option(min=16, help="The most tokens of a passage.", show_default="as before; 256 at first"),
]
_Overlap = Annotated[
    int | None,
    typer.Option(
        min=0, help="Tokens of the previous passage that a passage repeats.", show_default="as before; 0 at first"
    ),
]
_Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="KEY=VALUE", help="Metadata of the documents. Can be repeated."),
]
_Subject = Annotated[
    str | None, typer.Option(metavar="PERSON", help="The person that the documents are about, for `llmos forget`.")
]
_OnError = Annotated[
    Literal["stop", "skip"],
    typer.Option(help="stop adds nothing if a document can't be read; skip leaves such documents out."),
]


def register(app: typer.Typer) -> None:
    help = "Manage knowledge: documents that are searched by words and by meaning."
    group = typer.Typer(no_args_is_help=True, help=help)
    group.command("add")(add)
    group.command("sync")(sync)
    group.command("list")(list_)
    group.command("search")(search)
    group.command("show")(show)
    group.command("documents")(documents)
    group.command("remove")(remove)
    group.command("eval")(eval_)
    group.command("rm")(rm)
    add_label_commands(group, KNOWLEDGE)
    group.add_typer(alias_group(KNOWLEDGE), name="alias")
    app.add_typer(group, name="knowledge")


def add(
    name: _Name,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER", help="PDF, DOCX, HTML, XLSX, CSV, Markdown or text.")
    ],
    embedding: _Embedding = None,
    max_tokens: _MaxTokens = None,
    overlap: _Overlap = None,
    metadata: _Metadata = None,
    subject: _Subject = None,
    on_error: _OnError = "stop",
    as_json: options.AsJson = False,
) -> None:
    """Add documents, or replace those with the same names. Makes a new version; until then, the previous one
    answers."""
    settings = _settings(embedding, max_tokens, overlap, metadata, subject, on_error)
    with open_control(load_settings()) as control, progress_bar("steps") as progress:
        before = _newest(control, name)
        made = control.knowledge.add(name, files, progress, **settings)
    _print_made(made, as_json, before)


def sync(
    name: _Name,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder, including its subfolders.")],
    embedding: _Embedding = None,
    max_tokens: _MaxTokens = None,
    overlap: _Overlap = None,
    metadata: _Metadata = None,
    subject: _Subject = None,
    on_error: _OnError = "stop",
    as_json: options.AsJson = False,
) -> None:
    """Make the documents equal to the files of a folder. Only changed files are read and embedded."""
    settings = _settings(embedding, max_tokens, overlap, metadata, subject, on_error)
    with open_control(load_settings()) as control, progress_bar("steps") as progress:
        before = _newest(control, name)
        made = control.knowledge.sync(name, folder, progress, **settings)
    _print_made(made, as_json, before)


def list_(as_json: options.AsJson = False) -> None:
    """List the versions of all knowledge."""
    with open_control(load_settings()) as control:
        found = control.knowledge.list()
    columns = {
        "version": "knowledge",
        "num_documents": "documents",
        "num_chunks": "passages",
        "size_bytes": "size",
        "embedding": "embedding",
        "created_at": "since",
    }
    print_versions(
        found,
        columns,
        _readable,
        none="No knowledge yet. To make some: llmos knowledge add NAME FILE|FOLDER",
        as_json=as_json,
    )


def search(
    knowledge: _Knowledge,
    query: Annotated[str, typer.Argument(help="A question, or words.")],
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=100, help="The most passages.")] = 5,
    mode: Annotated[
        Literal["hybrid", "text", "vector"] | None,
        typer.Option(
            help="text searches for the words alone, vector for the meaning alone, hybrid for both.",
            show_default="the best one by `llmos knowledge eval`, or hybrid",
        ),
    ] = None,
    filters: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="JSON", help='Filter on metadata: {"type": "eq", "key": "region", "value": "eu"}.'
        ),
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option("--document", metavar="NAME", help="Search only in this document. Can be repeated."),
    ] = None,
    reranker: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model that reorders the passages that were found.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Search for the passages that fit a question best, by words and by meaning."""
    settings: SearchSettings = {
        "limit": limit,
        "mode": mode,
        "filters": None if filters is None else _parse_filters(filters),
        "documents": document or None,
        "reranker": reranker,
    }
    with open_control(load_settings()) as control:
        found = control.knowledge.search(knowledge, query, **settings)
    if as_json:
        print_json(found)
    else:
        print_hits(found, query)


def show(
    knowledge: _Knowledge,
    document: Annotated[str | None, typer.Option(metavar="NAME", help="Show the text of this document.")] = None,
    start: Annotated[int, typer.Option(min=0, help="The first character of the document's text to show.")] = 0,
    end: Annotated[int | None, typer.Option(min=0, help="The end (exclusive), in characters.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the details of a version; with --document, a document's text, or the passage that a citation points to."""
    with open_control(load_settings()) as control:
        if document is not None:
            passage = control.knowledge.passage(knowledge, document, start=start, end=end)
            if as_json:
                print_json(passage)
            else:
                stdout().print(passage.quote)
            return
        details = control.knowledge.details(knowledge)
    if as_json:
        print_json(details)
        return
    print_known_facts(_readable(details))


def documents(knowledge: _Knowledge, as_json: options.AsJson = False) -> None:
    """List the documents of a version."""
    with open_control(load_settings()) as control:
        found = list(control.knowledge.documents(knowledge))
    if as_json:
        print_json(found)
        return
    columns = {
        "name": "document",
        "format": "format",
        "num_bytes": "size",
        "num_chunks": "passages",
        "kept": "text kept",
        "metadata": "metadata",
    }
    print_table([_readable_document(each) for each in found], columns)


def remove(
    name: _Name,
    documents: Annotated[list[str], typer.Argument(metavar="DOCUMENT", help="Names of documents.")],
    as_json: options.AsJson = False,
) -> None:
    """Make a version without some documents of the newest version."""
    with open_control(load_settings()) as control:
        made = control.knowledge.remove_documents(name, documents)
    _print_made(made, as_json)


def eval_(
    knowledge: _Knowledge,
    cases: Annotated[
        str | None,
        typer.Option(metavar="DATASET", help="A dataset of the kind case. Without it, the last report is shown."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure with the questions of a dataset how well a version answers, and set the threshold of its searches."""
    with open_control(load_settings()) as control, progress_bar("steps") as progress:
        if cases is None:
            report = control.knowledge.evaluation(knowledge)
        else:
            report = control.knowledge.evaluate(knowledge, cases, progress)
    if as_json:
        print_json(report)
    else:
        print_report(report)


def rm(knowledge: _Knowledge, as_json: options.AsJson = False) -> None:
    """Remove everything under a name (NAME), one version (NAME@3) or an alias (NAME:ALIAS), and unused files."""
    with open_control(load_settings()) as control:
        removed = control.knowledge.remove(knowledge)
    print_removed(knowledge, removed, as_json=as_json)


def _settings(
    embedding: str | None,
    max_tokens: int | None,
    overlap: int | None,
    metadata: list[str] | None,
    subject: str | None,
    on_error: Literal["stop", "skip"],
) -> "AddSettings":
    return {
        "embedding": embedding,
        "max_tokens": max_tokens,
        "overlap_tokens": overlap,
        "metadata": dict(map(_parse_metadata, metadata)) if metadata else None,
        "subject": subject,
        "on_error": on_error,
    }


def _parse_metadata(text: str) -> tuple[str, MetadataValue]:
    """Return KEY=VALUE as key and value: a number, true or false where it is written so, else a text."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise BadRequest(f"--metadata {text} isn't KEY=VALUE, such as --metadata region=eu.", param="metadata")
    try:
        found = json.loads(value)
    except ValueError:
        return key, value
    return key, found if isinstance(found, bool | int | float) else value


def _parse_filters(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadRequest(
            '--filter takes JSON such as {"type": "eq", "key": "region", "value": "eu"}. In a shell, put it into'
            " single quotes.",
            param="filters",
        )
    return found


def _newest(control: "ControlPort", name: str) -> str | None:
    """Return the newest version of a name; None if it has none."""
    return next((each.version for each in reversed(control.knowledge.list()) if each.name == name), None)


def _print_made(made: KnowledgeDescription, as_json: bool, before: str | None = None) -> None:
    """Print a version that was made; `before`: the newest one until then."""
    if as_json:
        print_json(made)
        return
    if made.version == before:
        stdout().print(f"Nothing has changed: {made.version} has these documents.")
        return
    stdout().print(
        f"{made.version} is here: {counted(made.num_documents, 'document')}, {counted(made.num_chunks, 'passage')},"
        f" {readable_size(made.size_bytes)}."
    )
    if skipped := made.report.get("skipped"):
        stderr().print(f"{counted(skipped, 'document')} left out, since they can't be read:")
        for problem in made.report.get("problems", []):
            stderr().print(f"  {problem}")


def _readable(described: KnowledgeDescription) -> dict[str, Any]:
    facts = dict(fields_of(described))
    facts["num_documents"], facts["num_chunks"] = f"{described.num_documents:,}", f"{described.num_chunks:,}"
    facts["size_bytes"] = readable_size(described.size_bytes)
    facts["tags"], facts["knowledge_tags"] = readable_tags(described.tags), readable_tags(described.knowledge_tags)
    for name in ("recipe", "report"):
        facts[name] = json.dumps(facts[name], ensure_ascii=False) if facts[name] else None
    return facts


def _readable_document(document: DocumentDescription) -> dict[str, Any]:
    facts = dict(fields_of(document))
    facts["num_bytes"], facts["kept"] = readable_size(document.num_bytes), f"{document.kept:.0%}"
    facts["metadata"] = ", ".join(f"{key}={value}" for key, value in document.metadata.items()) or None
    return facts
