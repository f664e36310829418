"""Erasing: removes a person's data, destroys their keys, and certifies it.

Nothing is removed while a batch with data of the person runs. A crash in between loses only the certificate: the same
command removes what is left.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from llmos.billing.ledger import Ledger
from llmos.core.clock import Clock, utc_now
from llmos.core.encryption import queries as key_queries
from llmos.core.errors import BadRequest, Conflict
from llmos.core.ids import new_id
from llmos.core.schemas.erasures import ErasedDocuments, ErasedFile, ErasedInProject, ErasedRows, ErasureCertificate
from llmos.core.versioning import project_queries
from llmos.core.webhooks import queries as webhook_queries
from llmos.data import queries
from llmos.data.answers import Answers
from llmos.data.apps import queries as app_queries
from llmos.data.conversations import queries as conversation_queries
from llmos.data.datasets.datasets import Datasets
from llmos.data.datasets.forgetting import forget_rows
from llmos.data.datasets.tables import DATASETS
from llmos.data.erased_contents import ErasedContents, digest_of
from llmos.data.evals import queries as eval_queries
from llmos.data.feedback import queries as feedback_queries
from llmos.data.files import LIVE_STATUSES, Files
from llmos.data.knowledge.forgetting import forget_documents
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.knowledge.tables import KNOWLEDGE
from llmos.data.tables import ErasedContentRow, ErasureRow
from llmos.gateway.jobs.batch_lines import read_entry
from llmos.gateway.jobs.personal_lines import PersonalLines, find_personal_lines, without
from llmos.security.certificates import sign_certificate
from llmos.security.signing_key import SigningKey

MAX_SUBJECT_LENGTH = 512

_BACKUPS = (
    "Stored responses, sessions, runs, handoffs, conversations and feedback were encrypted under keys of the person,"
    " which are destroyed: they can't be read in any backup of the data. Lines of batch files and runs of evals were"
    " encrypted under a key of the whole: backups from before have them until they are deleted."
)


class Erasing:
    """Any thread may use it."""

    def __init__(
        self, files: Files, datasets: Datasets, knowledge: Knowledge, key: SigningKey, *, clock: Clock = utc_now
    ) -> None:
        self._datasets, self._knowledge = datasets, knowledge
        self._files, self._database, self._ring = files, files.database, files.encryption.ring
        self._key, self._clock = key, clock
        self._ledger = Ledger(files.database)
        self._answers = Answers(files.database, days=0)
        self._contents = ErasedContents(files.database, self._ring)

    def forget(self, subject: str, *, project: str | None = None, actor: str | None = None) -> ErasureCertificate:
        """Erase a person's data in one project, or in all. `subject`: what the requests called the person.

        Raises BadRequest for a subject that no request can name, and Conflict while a batch with the data runs.
        """
        if not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
            raise BadRequest(
                f"`subject` takes 1 to {MAX_SUBJECT_LENGTH} characters: what `user` was in the requests.",
                param="subject",
            )
        self._files.encryption.start()
        projects = [project] if project is not None else self._projects(subject)
        found = {each: self._personal_files(each, subject) for each in projects}
        erased = [self._forget_in(each, subject, found[each], actor) for each in projects]
        certificate = ErasureCertificate(
            issued_at=self._clock(),
            subject=subject,
            projects=[each for each in erased if each is not None],
            backups=_BACKUPS,
        )
        return sign_certificate(self._key, certificate)

    def _projects(self, subject: str) -> Sequence[str]:
        metered = {*self._ledger.projects_of(subject), *self._answers.projects_of(subject)}
        with self._database.session() as session:
            versioned = project_queries.projects(session, DATASETS) | project_queries.projects(session, KNOWLEDGE)
            return sorted({*queries.tenants(session), *self._ring.projects(), *versioned, *metered})

    def _personal_files(self, project: str, subject: str) -> dict[str, PersonalLines]:
        """Return the person's lines in each input file of the project. Raises Conflict while a batch reads one."""
        with self._database.session() as session:
            inputs = [row.id for row in queries.files_of(session, project) if row.purpose == "batch"]
        found = {}
        for id in inputs:
            try:
                with self._files.open(id) as content:
                    lines = find_personal_lines(content, subject)
            except FileNotFoundError:  # It was deleted meanwhile.
                continue
            if lines.numbers:
                found[id] = lines
        with self._database.session() as session:
            for id in found:
                if running := queries.readers(session, id, LIVE_STATUSES):
                    raise Conflict(
                        f"{running[0].id} of {project} runs requests of {subject[:80]}. Cancel it, or wait until it has"
                        " ended, and run the same again.",
                        param="subject",
                    )
        return found

    def _forget_in(
        self, project: str, subject: str, inputs: dict[str, PersonalLines], actor: str | None
    ) -> ErasedInProject | None:
        """Erase the person's data in a project; None if it has none."""
        name, erasure_id = self._ring.index("subject", project, subject), new_id("erasure")
        digests = [digest for lines in inputs.values() for digest in [*lines.digests]]
        digests += [self._digest(id) for id in inputs]
        blocked = {self._contents.hmac(project, digest) for digest in digests}
        with self._database.transaction(frees_space=True) as session:
            objects = key_queries.objects_of(session, project, name)
            responses = queries.remove_responses(session, project, objects)
            sessions, runs, handoffs = app_queries.remove_objects(session, project, objects)
            conversations = conversation_queries.remove_objects(session, project, objects)
            feedback = feedback_queries.remove_objects(session, project, objects)
            evals = eval_queries.remove_objects(session, project, objects)
            messages = webhook_queries.remove_objects(session, project, objects)
            key_queries.remove_object_keys(session, objects)
            blocked -= queries.blocked(session, blocked)
            session.add_all(
                [ErasedContentRow(hmac=each, project=project, erasure_id=erasure_id) for each in sorted(blocked)]
            )
            row = ErasureRow(id=erasure_id, project=project, subject=name, created_by=actor)
            row.created_at = self._clock()
            session.add(row)
        num_keys = len(self._ring.destroy_subject(project, name))
        files = [*self._cut_inputs(inputs), *self._cut_answers(project, inputs)]
        num_entries, num_answers = self._ledger.forget(project, subject), self._answers.forget(project, subject)
        rows = forget_rows(self._datasets, project, name)
        documents = forget_documents(self._knowledge, project, name)
        kept = responses or sessions or runs or handoffs or conversations or feedback or evals or messages or num_keys
        if not (kept or files or rows or documents or num_entries or num_answers):
            return None
        return ErasedInProject(
            project=project,
            erasure_id=erasure_id,
            responses=sorted(responses),
            sessions=sorted(sessions),
            runs=sorted(runs),
            handoffs=sorted(handoffs),
            conversations=sorted(conversations),
            feedback=sorted(feedback),
            evals=sorted(evals),
            messages=sorted(messages),
            files=files,
            datasets=[ErasedRows(version=version, num_rows=number) for version, number in rows.items()],
            knowledge=[ErasedDocuments(version=each, num_documents=number) for each, number in documents.items()],
            num_ledger_entries=num_entries,
            num_answers=num_answers,
            num_keys_destroyed=num_keys,
            num_contents_blocked=len(blocked),
        )

    def _digest(self, id: str) -> bytes:
        with self._files.open(id) as content:
            return digest_of(content)

    def _cut_inputs(self, inputs: dict[str, PersonalLines]) -> Iterable[ErasedFile]:
        for id, lines in inputs.items():
            yield self._cut(id, partial(_has_number, lines.numbers))

    def _cut_answers(self, project: str, inputs: dict[str, PersonalLines]) -> Iterable[ErasedFile]:
        """Cut the answers to the person's lines out of the outputs of batches."""
        with self._database.session() as session:
            batches = [row for row in queries.batches_of(session, project) if row.input_file_id in inputs]
            existing = queries.file_ids(session)
        for batch in batches:
            numbers = inputs[batch.input_file_id].numbers
            for id, is_error in ((batch.output_file_id, False), (batch.error_file_id, True)):
                if id is not None and id in existing:
                    erased = self._cut(id, partial(_answers_one_of, numbers, is_error))
                    if erased.num_lines:
                        yield erased

    def _cut(self, id: str, is_personal: Callable[[int, bytes], bool]) -> ErasedFile:
        num_lines = 0

        def counted(number: int, line: bytes) -> bool:
            nonlocal num_lines
            found = is_personal(number, line)
            num_lines += found
            return found

        with self._files.open(id) as content:
            self._files.rewrite(id, without(content, counted))
        return ErasedFile(id=id, num_lines=num_lines)


def _has_number(numbers: set[int], number: int, line: bytes) -> bool:
    return number in numbers


def _answers_one_of(numbers: set[int], is_error: bool, number: int, line: bytes) -> bool:
    try:
        return read_entry(line.rstrip(b"\n"), is_error).number in numbers
    except ValueError:
        return False
