"""Runs batches, in the serving process: their lines take the path of live calls, at the lowest priority.

    validating    the input is read once; the batch fails only if no line can run
    in_progress   a few lines at a time, fewer while there are live calls; an answer counts once it is on the disk
    the end       every line without an answer gets an error that says why

If the process is killed, only the lines that were being answered are lost: the next runner opens the journal and
continues with the lines that aren't in it. One process at a time runs the batches of a home.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import islice

from starlette.types import ASGIApp

from llmos.core.changes import Changes
from llmos.core.clock import Clock, utc_now
from llmos.core.errors import LLMOSError
from llmos.core.group_writer import GroupWriter
from llmos.data.batches import Batch, Batches, Problem
from llmos.data.erased_contents import ErasedContents
from llmos.data.files import Files
from llmos.data.journal import Entry, Journal
from llmos.gateway.calls.admission import Admission
from llmos.gateway.jobs import batch_lines
from llmos.gateway.jobs.background_callers import BackgroundCallers
from llmos.gateway.jobs.background_calls import NUM_RUNNING_ALONE, BackgroundCall, BackgroundCalls
from llmos.gateway.jobs.batch_lines import Line, read_lines
from llmos.gateway.jobs.waking import Pause, lock_folder
from llmos.security.keys import Keys
from llmos.security.users.users import Users

_log = logging.getLogger(__name__)

MAX_LINES = 50_000
"""The limit of requests in one batch."""

MAX_PROBLEMS = 100
"""The limit of reasons that a failed batch lists."""

POLL_SECONDS = 5
"""The delay until a batch that another process created is noticed."""

RETRY_SECONDS = 30
"""The delay until a batch that an internal error stopped, such as a full disk, continues."""


class BatchRunner:
    def __init__(
        self,
        app: ASGIApp,
        batches: Batches,
        files: Files,
        admission: Admission,
        keys: Keys,
        users: Users,
        *,
        clock: Clock = utc_now,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._batches = batches
        self._files = files
        callers = BackgroundCallers(keys, users, clock=clock)
        self._calls = BackgroundCalls(app, admission, callers, pause=pause)
        self._clock = clock
        self._pause = pause
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._limits: dict[str, asyncio.Timeout] = {}
        """The deadlines of the batches whose lines run."""
        self._cancelled: set[str] = set()

    async def run(self) -> None:
        """Run the batches that there are and those that come, until cancelled. Lines that are being answered then are
        dropped, and sent again by the next runner."""
        changes = Changes()
        self._batches.on_change = changes.notify
        with ExitStack() as held:
            await lock_folder(held, self._files.folder, POLL_SECONDS, self._pause)
            try:
                try:
                    await asyncio.to_thread(self._batches.sweep)
                except Exception:  # For example, an upload was aborted meanwhile. The batches can run all the same.
                    _log.exception("The files that dead processes left can't be removed")
                while True:
                    await self._reconcile()
                    await changes.wait(POLL_SECONDS)
            finally:
                self._batches.on_change = None
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _reconcile(self) -> None:
        """Start new batches, and stop those that were cancelled."""
        for id in [id for id, task in self._tasks.items() if task.done()]:
            del self._tasks[id]
        try:
            live = await asyncio.to_thread(self._batches.live)
        except Exception:
            _log.exception("The batches can't be read")
            return
        for batch in live:
            if batch.id not in self._tasks:
                self._tasks[batch.id] = asyncio.create_task(self.run_batch(batch))
            elif batch.status == "cancelling":
                self._cancelled.add(batch.id)
                if (limit := self._limits.pop(batch.id, None)) is not None:
                    with suppress(RuntimeError):  # The deadline has just passed.
                        limit.reschedule(0)

    async def run_batch(self, batch: Batch) -> None:
        """Run a batch to its end. After an internal error nothing is lost, and it is run again later."""
        try:
            await self._try(batch)
        except Exception:
            _log.exception("%s was stopped by an error and continues in %d seconds", batch.id, RETRY_SECONDS)
            await self._pause(RETRY_SECONDS)
        finally:
            self._cancelled.discard(batch.id)

    async def _try(self, batch: Batch) -> None:
        if batch.status == "validating":
            try:
                num_lines, problems = await asyncio.to_thread(_check, self._lines(batch))
            except FileNotFoundError:
                num_lines, problems = 0, [Problem("file_missing", "The bytes of the input are gone. Upload it again.")]
            if problems:
                await asyncio.to_thread(self._batches.fail, batch.id, problems)
                return
            batch = await asyncio.to_thread(self._batches.begin, batch.id, num_lines)
        journal = await asyncio.to_thread(self._batches.journal, batch.id, batch_lines.read_entry)
        try:
            if batch.status == "in_progress":
                is_through = await self._answer_in_time(batch, journal)
                proceed = self._batches.finalize if is_through else self._batches.find
                batch = await asyncio.to_thread(proceed, batch.id)
            await asyncio.to_thread(self._fail_unanswered, batch, journal)
            await asyncio.to_thread(self._batches.end, batch.id, journal)
        finally:
            journal.close()

    async def _answer_in_time(self, batch: Batch, journal: Journal) -> bool:
        """Answer the lines that aren't in the journal. Returns False if the batch expired or was cancelled before."""
        if batch.id in self._cancelled:
            return False
        seconds_left = (batch.expires_at - self._clock()).total_seconds()
        try:
            async with asyncio.timeout(seconds_left) as limit:
                self._limits[batch.id] = limit
                try:
                    await self._answer_all(batch, journal)
                finally:
                    self._limits.pop(batch.id, None)
        except TimeoutError:
            return False
        return True

    async def _answer_all(self, batch: Batch, journal: Journal) -> None:
        writer = GroupWriter(journal.write)
        lines = (line for line in self._lines(batch) if line.number not in journal.recorded)
        slots = asyncio.Semaphore(NUM_RUNNING_ALONE)
        async with asyncio.TaskGroup() as running:
            while True:
                await slots.acquire()
                line = await asyncio.to_thread(next, lines, None)
                if line is None:
                    return
                task = running.create_task(self._answer(batch, line, writer))
                task.add_done_callback(lambda _: slots.release())

    async def _answer(self, batch: Batch, line: Line, writer: GroupWriter[Entry]) -> None:
        if line.refusal is not None:
            await writer.write(batch_lines.refused_entry(batch.id, line, line.refusal))
            return
        call = BackgroundCall(
            project=batch.tenant,
            key_id=batch.key_id,
            what="batch",
            path=batch.endpoint,
            body=line.body,
            call_key=f"{batch.id}/{line.number}",
        )
        try:
            reply = await self._calls.post(call)
        except LLMOSError as error:
            await writer.write(batch_lines.refused_entry(batch.id, line, error))
            return
        await writer.write(batch_lines.answered_entry(batch.id, line, reply))

    def _fail_unanswered(self, batch: Batch, journal: Journal) -> None:
        reason = "it was cancelled" if batch.status == "cancelling" else "its completion window ended"
        code = "batch_cancelled" if batch.status == "cancelling" else "batch_expired"
        message = f"This request was not answered: the batch ended before it, because {reason}."
        entries = (
            batch_lines.failed_entry(batch.id, line, code, message)
            for line in self._lines(batch)
            if line.number not in journal.recorded
        )
        while chunk := list(islice(entries, 1000)):
            journal.write(chunk)

    def _lines(self, batch: Batch) -> Iterator[Line]:
        erased = ErasedContents(self._files.database, self._files.encryption.ring)
        return read_lines(partial(self._files.open, batch.input_file_id), batch.endpoint, erased.checker(batch.tenant))


def _check(lines: Iterator[Line]) -> tuple[int, list[Problem]]:
    """Return the number of lines, and the reasons why they can't run as a batch, if any."""
    line_of: dict[str, int] = {}
    refused: list[Problem] = []
    duplicates: list[Problem] = []
    num_lines = num_refused = 0
    for line in lines:
        num_lines += 1
        if num_lines > MAX_LINES:
            message = f"The file has more than {MAX_LINES:,} requests. Make several batches of it."
            return num_lines, [Problem("too_many_requests", message, line.number)]
        if (error := line.refusal) is not None:
            num_refused += 1
            refused.append(Problem(error.code, error.message, line.number, error.param))
            del refused[MAX_PROBLEMS:]
        if line.custom_id is not None:
            before = line_of.setdefault(line.custom_id, line.number)
            if before != line.number:
                message = f"`custom_id` is {line.custom_id[:80]!r}, as in line {before}. Each line needs its own."
                duplicates.append(Problem("duplicate_custom_id", message, line.number, "custom_id"))
                del duplicates[MAX_PROBLEMS:]
    if not num_lines:
        return 0, [Problem("empty_file", "The file has no requests: write one JSON object a line.")]
    # An invalid line is only an error among the answers, as long as another line can run.
    return num_lines, duplicates or (refused if num_refused == num_lines else [])
