"""KeptEncryption: the encryption of everything that is kept, as operators see and rotate it."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmos.billing.exporters import queries as exporter_queries
from llmos.core.encryption import queries as key_queries
from llmos.core.schemas.encryption import EncryptionDescription, RotationDescription
from llmos.core.store.blobs_in_use import blob_users
from llmos.core.webhooks import queries as webhook_queries
from llmos.data import queries
from llmos.data.apps import queries as app_queries
from llmos.data.conversations import queries as conversation_queries
from llmos.data.datasets.datasets import Datasets
from llmos.data.evals import queries as eval_queries
from llmos.data.feedback import queries as feedback_queries
from llmos.data.files import Files
from llmos.data.plain_data import PlainData
from llmos.deployments.providers.providers import Providers
from llmos.models.registry import Registry
from llmos.security.projects import Projects


@dataclass(frozen=True, slots=True)
class Discarded:
    """The objects, providers and versions that were encrypted under lost keys."""

    num_objects: int
    providers: Sequence[str]
    """The providers whose keys were deleted."""
    versions: Sequence[str]
    """The versions of models whose encrypted files are gone. They stay listed, and can be pulled or imported again."""
    datasets: Sequence[str]
    """The same of datasets and knowledge, with their projects."""


class KeptEncryption:
    """Any thread may use it."""

    def __init__(
        self, files: Files, datasets: Datasets, providers: Providers, projects: Projects, registry: Registry
    ) -> None:
        self._database, self._files, self._encryption = files.database, files, files.encryption
        self._providers, self._projects, self._registry = providers, projects, registry
        self._plain = PlainData(files, datasets)

    def status(self) -> EncryptionDescription:
        """Raises StoreFailed if the master key or the key ring is lost."""
        self._encryption.start()
        ring = self._encryption.ring
        counts = ring.counts()
        with self._database.session() as session:
            num_objects = key_queries.num_objects(session)
        return EncryptionDescription(
            master_key=ring.masters.where,
            master_key_id=ring.master_id() or "",
            key_ring=ring.where,
            num_project_keys=counts.get("project", 0),
            num_subject_keys=counts.get("subject", 0),
            num_objects=num_objects,
            num_plain=self._plain.count() + self._providers.num_old_keys(),
        )

    def rotate(self, project: str | None = None) -> RotationDescription:
        """Replace the master key, or the key of a project. Raises NotFound for an unknown project, and StoreFailed."""
        self._encryption.start()
        ring = self._encryption.ring
        if project is not None:
            self._projects.get(project)
            num_keys = self._encryption.rotate_project(project)
            return RotationDescription(project=project, master_key_id=ring.master_id() or "", num_keys=num_keys)
        # Data that is encrypted under the master key itself would be lost with it.
        self._providers.reseal_old_keys()
        master_key_id = ring.rotate_master()
        return RotationDescription(master_key_id=master_key_id, num_keys=ring.counts().get("project", 0))

    def encrypt(self) -> EncryptionDescription:
        """Encrypt what an earlier version kept plain, and describe what there is then. Raises StoreFailed."""
        self.encrypt_plain()
        return self.status()

    def encrypt_plain(self) -> None:
        """Encrypt what an earlier version kept plain. Raises StoreFailed."""
        self._encryption.start()
        self._plain.encrypt()
        self._providers.reseal_old_keys()

    def finish_rotations(self) -> None:
        """Continue rotations that a crash has interrupted, and destroy the keys that they replaced long enough ago."""
        for project in self._encryption.ring.projects():
            self._encryption.finish_rotation(project)

    def discard(self) -> Discarded:
        """Delete what is encrypted, with its keys, and begin with new ones: for a lost master key or key ring."""
        self._encryption.ring.discard_all()
        with self._database.transaction(frees_space=True) as session:
            num_objects = key_queries.num_objects(session)
            ids = queries.remove_encrypted(session)
            app_queries.remove_all(session)
            conversation_queries.remove_all(session)
            eval_queries.remove_all(session)
            feedback_queries.remove_all(session)
            webhook_queries.remove_all(session)
            exporter_queries.discard_keys(session)
            key_queries.remove_all_object_keys(session)
        for id in ids:
            self._files.path(id).unlink(missing_ok=True)
        self._encryption.ring.masters.set_aside()
        blobs = set(self._registry.store.discard_encrypted())
        versions = [each.ref for each in self._registry.list() if any(file.digest in blobs for file in each.files)]
        self._encryption.start()
        of_models = {file.digest for each in self._registry.list() for file in each.files}
        users = blob_users(self._database, blobs - of_models)
        datasets = sorted({user for found in users.values() for user in found})
        return Discarded(num_objects, self._providers.discard_unreadable_keys(), versions, datasets)
