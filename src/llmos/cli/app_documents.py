"""The documents of an application's folder, put into the knowledge that app.yaml names."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.cli.output import stderr
from llmos.cli.progress import progress_bar
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.names import parse_reference
from llmos.core.plurals import counted

if TYPE_CHECKING:
    from llmos.client import Client
    from llmos.hosting.folder import AppFolder

_SHOWN = ("recall@5", "not_in_here_precision", "not_in_here_recall")
"""The figures of an evaluation that say how well an application will answer."""


def sync_documents(folder: "AppFolder", client: "Client") -> str | None:
    """Make the knowledge of an application equal to its documents. Only what has changed is read and embedded.

    Returns the version that was made; None: nothing changed.
    """
    return _put(folder, client, only_if_missing=False)


@contextmanager
def synced_documents(folder: "AppFolder", client: "Client") -> Iterator[None]:
    """Bring the documents for the block. If it fails, the version of the knowledge that they became is removed."""
    made = sync_documents(folder, client)
    try:
        yield
    except BaseException:
        if made is not None:
            with suppress(LLMOSError):
                client.knowledge.remove(made)
                stderr().print(f"{made} was removed again.", markup=False)
        raise


def ensure_documents(folder: "AppFolder") -> None:
    """Make the knowledge of an application from its documents if there is none of this name."""
    from llmos.client import Client

    with Client() as client:
        _put(folder, client, only_if_missing=True)


def _put(folder: "AppFolder", client: "Client", *, only_if_missing: bool) -> str | None:
    """Return the version of the knowledge that was made, if one was."""
    knowledge = folder.manifest.knowledge
    if knowledge is None or knowledge.documents is None:
        return None
    if not parse_reference(knowledge.name, "knowledge").is_whole:
        raise BadRequest(f"app.yaml: documents become a new version, so `knowledge.name` can't be {knowledge.name}.")
    before = [each.version for each in client.knowledge.list() if each.name == knowledge.name]
    if before and only_if_missing:
        return None
    documents = _inside(folder, knowledge.documents, "knowledge.documents")
    with progress_bar() as progress:
        made = client.knowledge.sync(knowledge.name, documents, progress)
    if made.version in before:
        return None
    count = counted(made.num_documents, "document")
    stderr().print(f"{made.version} has the {count} of {knowledge.documents}.", markup=False)
    if knowledge.questions is not None:
        questions = _inside(folder, knowledge.questions, "knowledge.questions")
        _evaluate(made.version, questions, f"{knowledge.name}-questions", client)
    return made.version


def _evaluate(version: str, questions: Path, dataset: str, client: "Client") -> None:
    """Find the threshold below which a version of knowledge abstains."""
    with progress_bar() as progress:
        cases = client.datasets.import_path(questions, dataset, progress, shape="case")
        report = client.knowledge.evaluate(version, cases.version, progress)
    for figure in report.figures:
        if figure.name in _SHOWN:
            stderr().print(figure.sentence, markup=False)
    if report.no_threshold is not None:
        note = f"Note: the application abstains only where a search finds nothing. {report.no_threshold}"
        stderr().print(note, markup=False)


def _inside(folder: "AppFolder", name: str, field: str) -> Path:
    """Return a path of the folder. Raises BadRequest for one that isn't there, or lies outside."""
    path = (folder.path / name).resolve()
    if not path.is_relative_to(folder.path) or not path.exists():
        raise BadRequest(f"app.yaml: `{field}` is {name}, and the folder has nothing of this name.")
    return path
