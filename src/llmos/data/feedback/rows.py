"""The rows of datasets that feedback becomes.

preference   a correction is better than its answer; what a vote is for is better than what it is against
chat         answers that were rated up or voted for, and corrections
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from llmos.core.errors import BadRequest
from llmos.core.schemas.feedback import ExportKind, FeedbackDescription
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.rows import Row, make_row
from llmos.data.datasets.versions import DatasetVersion

SubjectOf = Callable[[str], str | None]
"""Returns the keyed hash of the person whose data the feedback with this id has, if any."""


def make_dataset(
    datasets: ProjectDatasets,
    name: str,
    feedback: Iterable[FeedbackDescription],
    kind: ExportKind,
    *,
    subject_of: SubjectOf,
    actor: str,
) -> DatasetVersion:
    """Make a version of the dataset `name` out of feedback. Raises BadRequest where none of it is such a row."""
    with datasets.writing(name, kind, source="feedback", actor=actor) as writer:
        seen: set[str] = set()
        for row in _rows(feedback, kind, subject_of):
            if row.id not in seen:
                seen.add(row.id)
                writer.add(row)
        if not seen:
            raise BadRequest(
                f"No feedback makes a row of the kind {kind}. {_WANTED[kind]} Feedback needs `messages`"
                " and `text` for it."
            )
        return writer.finish()


_WANTED = {
    "preference": "Those are corrections, and votes without a tie.",
    "chat": "Those are answers rated up or voted for, and corrections.",
}


def _rows(feedback: Iterable[FeedbackDescription], kind: ExportKind, subject_of: SubjectOf) -> Iterator[Row]:
    for each in feedback:
        content = each.content
        if not content.messages or not content.text:
            continue
        columns = {"origin": each.answer or each.id, "subject": subject_of(each.id)}
        if kind == "preference":
            for chosen, rejected in _pairs(each):
                body = {"messages": content.messages, "chosen": _said(chosen), "rejected": _said(rejected)}
                yield make_row("preference", body, **columns)
        elif (good := _good_answer(each)) is not None:
            yield make_row("chat", {"messages": [*content.messages, *_said(good)]}, **columns)


def _pairs(feedback: FeedbackDescription) -> Sequence[tuple[str, str]]:
    """Return what is better than what."""
    content = feedback.content
    if feedback.kind == "vote":
        worse = [] if content.is_tie else [each.text for each in content.rejected]
        return [(content.text, text) for text in worse if text and text != content.text]
    return [(content.correction, content.text)] if content.correction not in ("", content.text) else []


def _good_answer(feedback: FeedbackDescription) -> str | None:
    content = feedback.content
    if content.correction:
        return content.correction
    is_liked = feedback.rating == "up" or (feedback.kind == "vote" and not content.is_tie)
    return content.text if is_liked else None


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
