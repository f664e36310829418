"""Conversations and feedback in this machine's database: those of the owner's key."""

from typing import TYPE_CHECKING

from llmos.core.schemas.conversations import ConversationDescription, ConversationDetails, ConversationPage
from llmos.core.schemas.datasets import DatasetDescription
from llmos.core.schemas.feedback import ExportKind, FeedbackPage
from llmos.core.who import this_user

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.cli.control.local import LocalControl
    from llmos.client.feedback_calls import FeedbackFilters
    from llmos.data.conversations.conversations import Conversations, Person
    from llmos.data.feedback.feedback import Feedback

OWNER = "owner"


class LocalConversations:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self, words: str = "", *, after: str | None = None, limit: int = 50) -> ConversationPage:
        return self._conversations.list(self._person, query=words, after=after, limit=limit)

    def get(self, id: str) -> ConversationDetails:
        return self._conversations.get(self._person, id)

    def change(self, id: str, *, title: str | None = None) -> ConversationDescription:
        return self._conversations.change(self._person, id, title=title)

    def remove(self, id: str) -> None:
        self._conversations.remove(self._person, id)

    @property
    def _person(self) -> "Person":
        from llmos.data.conversations.conversations import Person

        return Person(project=OWNER, actor=OWNER)

    @property
    def _conversations(self) -> "Conversations":
        from llmos.data.conversations.conversations import Conversations

        return Conversations(self._control.registry.database, self._control.keys_of_data)


class LocalFeedback:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self, **filters: "Unpack[FeedbackFilters]") -> FeedbackPage:
        from llmos.data.feedback.feedback import FeedbackFilter

        wanted = FeedbackFilter(answer=filters.get("answer"), kind=filters.get("kind"), rating=filters.get("rating"))
        return self._feedback.list(OWNER, wanted, after=filters.get("after"), limit=filters.get("limit", 50))

    def export(self, dataset: str, *, kind: ExportKind = "preference") -> DatasetDescription:
        from llmos.core.store.opening import open_store
        from llmos.data.datasets.datasets import Datasets
        from llmos.data.datasets.descriptions import describe_version
        from llmos.data.feedback.rows import make_dataset

        database = self._control.registry.database
        datasets = Datasets(database, open_store(self._control.settings, database)).of(OWNER)
        feedback = self._feedback
        version = make_dataset(
            datasets, dataset, feedback.all(OWNER), kind, subject_of=feedback.subject_of, actor=this_user()
        )
        return describe_version(version, datasets.labels_of([version]))

    def remove(self, id: str) -> None:
        self._feedback.remove(OWNER, id, actor=OWNER)

    @property
    def _feedback(self) -> "Feedback":
        from llmos.data.feedback.feedback import Feedback

        return Feedback(self._control.registry.database, self._control.keys_of_data)
