"""DataServices: all that is kept for callers, as a server has it."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmos.core.config import Settings
from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.store.store import Store
from llmos.core.webhooks.outbox import Outbox
from llmos.data.answers import Answers
from llmos.data.app_versions.app_versions import AppVersions
from llmos.data.apps.deployments import AppDeployments
from llmos.data.apps.handoffs import Handoffs
from llmos.data.apps.runs import AppRuns
from llmos.data.apps.sessions import AppSessions
from llmos.data.batches import Batches
from llmos.data.conversations.conversations import Conversations
from llmos.data.datasets.datasets import Datasets
from llmos.data.evals import EvalRuns
from llmos.data.feedback.feedback import Feedback
from llmos.data.files import Files
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.project_data import Room
from llmos.data.prompts.prompts import Prompts
from llmos.data.responses import KeptResponses
from llmos.data.uploads import Uploads
from llmos.data.vector_stores.vector_stores import VectorStores


@dataclass(frozen=True, kw_only=True, slots=True)
class DataServices:
    files: Files
    batches: Batches
    responses: KeptResponses
    answers: Answers
    conversations: Conversations
    feedback: Feedback
    app_sessions: AppSessions
    app_runs: AppRuns
    handoffs: Handoffs
    app_deployments: AppDeployments
    app_versions: AppVersions
    datasets: Datasets
    knowledge: Knowledge
    vector_stores: VectorStores
    prompts: Prompts
    evals: EvalRuns
    uploads: Uploads

    def rooms(self) -> Sequence[Room]:
        """Return those that remove what a project has in them, in the order in which they do it."""
        return [
            self.app_deployments,
            self.datasets,
            self.vector_stores,
            self.knowledge,
            self.prompts,
            self.app_versions,
            self.evals,
        ]


def open_data(
    settings: Settings, database: Database, store: Store, encryption: Encryption, outbox: Outbox
) -> DataServices:
    """Return what one server keeps. `outbox`: where hand-offs wait for their webhooks."""
    files = Files(database, settings.files_path, encryption)
    knowledge = Knowledge(database, store)
    return DataServices(
        files=files,
        batches=Batches(database, files),
        responses=KeptResponses(database, encryption),
        answers=Answers(database, days=settings.answer_days),
        conversations=Conversations(database, encryption),
        feedback=Feedback(database, encryption),
        app_sessions=AppSessions(database, encryption),
        app_runs=AppRuns(database, encryption),
        handoffs=Handoffs(database, encryption, outbox),
        app_deployments=AppDeployments(database),
        app_versions=AppVersions(database, store, settings.apps_path),
        datasets=Datasets(database, store),
        knowledge=knowledge,
        vector_stores=VectorStores(database, knowledge),
        prompts=Prompts(database, store),
        evals=EvalRuns(database, encryption),
        uploads=Uploads(settings.uploads_path, store),
    )
