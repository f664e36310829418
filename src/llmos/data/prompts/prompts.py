"""Prompts: those of all projects, and ProjectPrompts, those of one: names, versions, texts, aliases, labels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.canonical import canonical
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.names import check_name, parse_reference
from llmos.core.prompt_text import PromptText
from llmos.core.store.blobs import StagedBlob
from llmos.core.store.blobs_in_use import collect
from llmos.core.store.store import Store
from llmos.core.versioning import project_queries
from llmos.core.versioning import queries as naming
from llmos.core.versioning.aliases import Aliases
from llmos.core.versioning.labels import Labels, LabelStore
from llmos.core.versioning.project_finding import ProjectFinder
from llmos.core.versioning.removing import Removed, remove_from_list
from llmos.core.who import this_user
from llmos.data.prompts.tables import PROMPTS, PromptVersionRow
from llmos.data.prompts.versions import PromptVersion, version_of

INSTALLATION = "owner"
"""The installation's own project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A version with its text and its relations, for display."""

    version: PromptVersion
    text: PromptText
    aliases: tuple[str, ...]
    """The aliases that point at this version."""
    versions: tuple[str, ...]
    """The references of all versions of the prompt."""
    labels: Labels
    prompt_labels: Labels


@dataclass(frozen=True, slots=True)
class PromptDraft:
    """A version that is to be recorded. Its content is staged."""

    name: str
    text: PromptText
    digest: str
    staged: StagedBlob


class Prompts:
    """The prompts in one database and one store. Any thread and any process may use them."""

    def __init__(self, database: Database, store: Store, *, clock: Clock = utc_now) -> None:
        self.database, self.store, self.clock = database, store, clock

    def of(self, project: str = INSTALLATION) -> "ProjectPrompts":
        """Return the prompts of one project."""
        return ProjectPrompts(self, project)

    def remove_project(self, project: str) -> None:
        """Remove all prompts of a project, and the blobs that nothing else uses."""
        with self.database.transaction(frees_space=True) as session:
            project_queries.remove_project(session, PROMPTS, project)
        collect(self.database, self.store)


class ProjectPrompts:
    """The prompts of one project. Those of another one don't exist for it."""

    def __init__(self, prompts: Prompts, project: str) -> None:
        self.project = project
        self._database, self._clock = prompts.database, prompts.clock
        self._store = prompts.store.of_project(project)
        self._finder = ProjectFinder(PROMPTS, project)
        self.aliases = Aliases(self._database, self._finder, self._clock)
        self.labels = LabelStore(self._database, self._finder, self._clock)

    def resolve(self, ref: str) -> PromptVersion:
        """Return the version that a reference names. Raises NotFound with similar names."""
        reference = parse_reference(ref, "prompt")
        with self._database.session() as session:
            return version_of(self._finder.version(session, reference))

    def text(self, version: PromptVersion) -> PromptText:
        """Return the text of a version, which errors call by its reference."""
        kept = msgspec.json.decode(self._store.blob_path(version.blob).read_bytes())
        return PromptText.typed(kept["text"], kept["variables"], version.ref)

    def list(self) -> Sequence[PromptVersion]:
        """Return all versions, by name and number."""
        with self._database.session() as session:
            return [version_of(row) for row in project_queries.versions_of_project(session, PROMPTS, self.project)]

    def labels_of(self, versions: Sequence[PromptVersion]) -> Mapping[tuple[str, int], Labels]:
        """Return {(key of the name, number): labels} of these versions and their names."""
        return self.labels.all({self._finder.key(version.prompt) for version in versions})

    def show(self, ref: str) -> Details:
        """Return a version with its text, aliases, labels and siblings. Raises NotFound."""
        version = self.resolve(ref)
        key = self._finder.key(version.prompt)
        with self._database.session() as session:
            numbers = naming.aliases(session, PROMPTS, key)
            siblings = [row.ref for row in project_queries.versions(session, PROMPTS, key)]
        labels = self.labels_of([version])
        return Details(
            version=version,
            text=self.text(version),
            aliases=tuple(name for name, number in numbers.items() if number == version.number),
            versions=tuple(siblings),
            labels=labels.get((key, version.number), Labels()),
            prompt_labels=labels.get((key, 0), Labels()),
        )

    def create(self, name: str, text: PromptText, *, actor: str | None = None) -> PromptVersion:
        """Store a version, or return the one that is the same already.

        `actor`: who makes it; None is the user of this process. Raises BadRequest for an invalid name.
        """
        with self._store.scratch() as scratch:
            draft = self.stage(name, text, scratch)
            with self._store.publishing():
                self._store.add_staged(draft.staged)
                with self._database.transaction() as session:
                    version = self.record(session, draft, actor=actor)
                    describe_action(version.ref)
        return version

    def stage(self, name: str, text: PromptText, scratch: Path) -> PromptDraft:
        """Return a version that can be recorded. `scratch`: a folder of the store. Raises BadRequest for its name."""
        check_name(name, "a prompt")
        content = canonical(text.as_json())
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return PromptDraft(name, text, digest, self._store.stage(content, scratch))

    def record(
        self, session: Session, draft: PromptDraft, *, source: str = "", actor: str | None = None
    ) -> PromptVersion:
        """List a version whose content is in the store, unless the same is listed. The caller commits."""
        key, now = self._finder.key(draft.name), self._clock()
        project_queries.ensure_name(session, PROMPTS, key, now)
        row = project_queries.version_with_digest(session, PROMPTS, key, draft.digest)
        if row is None:
            row = PromptVersionRow(
                owner=key,
                number=project_queries.next_number(session, PROMPTS, key),
                digest=draft.digest,
                created_at=now,
                made_by=actor or this_user(),
                num_characters=len(draft.text.text),
                variables=[*draft.text.variables],
                source=source,
            )
            session.add(row)
        row.removed_at, row.blob, row.size = None, draft.staged.digest, draft.staged.size
        session.flush()
        return version_of(row)

    def remove(self, ref: str, *, actor: str | None = None) -> Removed:
        """Remove a whole prompt (NAME), one version (NAME@3), or only an alias (NAME:ALIAS), and delete unused blobs.

        Raises NotFound, and Conflict for a version that an alias points at.
        """
        reference = parse_reference(ref, "prompt")
        with self._database.transaction(frees_space=True) as session:
            removed = remove_from_list(session, self._finder, reference, self._clock(), actor)
        return replace(removed, freed_bytes=collect(self._database, self._store) if removed.versions else 0)
