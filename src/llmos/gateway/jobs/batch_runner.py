"""Carries batches out, in the serving process: their lines go the way of live calls, behind all of these.

    validating    the input is read through once; it fails as a whole only where not one line could run
    in_progress   a few lines at a time, fewer while live calls are there; each answer is on the disk before it counts
    the end       every line that has no answer gets an error that says why

A killed process loses the lines that were being answered, and no others: whoever comes next opens the journal and goes
on with the lines that aren't in it. One process at a time carries out the batches of a home.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import islice

from starlette.types import ASGIApp

from llmos.core.clock import Clock, utc_now
from llmos.core.locks import locked
from llmos.data.batches import Batch, Batches, Problem
from llmos.data.files import Files
from llmos.data.journal import Entry, Journal
from llmos.gateway.calls.admission import Admission
from llmos.gateway.jobs import batch_lines, inside
from llmos.gateway.jobs.batch_lines import Line, read_lines
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

_log = logging.getLogger(__name__)

MAX_LINES = 50_000
"""Requests in one batch."""

MAX_PROBLEMS = 100
"""Reasons that a failed batch lists."""

NUM_RUNNING_ALONE = 16
"""Lines that are answered at once while there is no live call."""

NUM_RUNNING_BESIDE = 8
"""Lines that are begun beside live calls. They rest in most steps, but for their prompts."""

MAX_FAILURES = 3
"""Times that a line may cost the model's process its life."""

POLL_SECONDS = 5
"""How soon a batch is noticed that another process has made."""

RETRY_SECONDS = 30
"""How soon a batch is tried again that something inside has broken off, such as a full disk."""

Pause = Callable[[float], Awaitable[None]]


class BatchRunner:
    def __init__(
        self,
        app: ASGIApp,
        batches: Batches,
        files: Files,
        admission: Admission,
        *,
        clock: Clock = utc_now,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._app = app
        self._batches = batches
        self._files = files
        self._places = _Places(admission)
        self._clock = clock
        self._pause = pause
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._limits: dict[str, asyncio.Timeout] = {}
        """Of the batches whose lines run: when they must stop."""
        self._cancelled: set[str] = set()

    async def run(self) -> None:
        """Carry out what there is and what comes, until cancelled. Lines that run then are given up, and asked again by
        whoever comes next."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        self._batches.on_change = partial(_call_in, loop, changed.set)
        with ExitStack() as held:
            await self._become_the_only_one(held)
            try:
                try:
                    await asyncio.to_thread(self._batches.sweep)
                except Exception:  # Such as an upload that is given up meanwhile. No reason to carry nothing out.
                    _log.exception("What dead processes left of files can't be swept up")
                while True:
                    changed.clear()
                    await self._look()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await changed.wait()
            finally:
                self._batches.on_change = None
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _become_the_only_one(self, held: ExitStack) -> None:
        self._files.folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                held.enter_context(locked(self._files.folder / "lock", keep=True, wait=False))
            except BlockingIOError:
                await self._pause(POLL_SECONDS)
            else:
                return

    async def _look(self) -> None:
        """Begin what is new, and stop what was cancelled."""
        for id in [id for id, task in self._tasks.items() if task.done()]:
            del self._tasks[id]
        try:
            live = await asyncio.to_thread(self._batches.live)
        except Exception:
            _log.exception("The batches can't be read")
            return
        for batch in live:
            if batch.id not in self._tasks:
                self._tasks[batch.id] = asyncio.create_task(self.carry_out(batch))
            elif batch.status == "cancelling":
                self._cancelled.add(batch.id)
                if (limit := self._limits.pop(batch.id, None)) is not None:
                    with suppress(RuntimeError):  # Its time has come by itself.
                        limit.reschedule(0)

    async def carry_out(self, batch: Batch) -> None:
        """Bring the batch to its end. Where something inside goes wrong, nothing is lost, and it is tried again."""
        try:
            await self._try(batch)
        except Exception:
            _log.exception("%s was broken off and goes on in %d seconds", batch.id, RETRY_SECONDS)
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
            await asyncio.to_thread(self._give_up_the_rest, batch, journal)
            await asyncio.to_thread(self._batches.end, batch.id, journal)
        finally:
            journal.close()

    async def _answer_in_time(self, batch: Batch, journal: Journal) -> bool:
        """Answer the lines that the journal has not. Return whether there was time for all of them."""
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
        writer = _Writer(journal)
        lines = (line for line in self._lines(batch) if line.number not in journal.settled)
        own_places = asyncio.Semaphore(NUM_RUNNING_ALONE)
        async with asyncio.TaskGroup() as running:
            while True:
                await own_places.acquire()
                line = await asyncio.to_thread(next, lines, None)
                if line is None:
                    return
                task = running.create_task(self._answer(batch, line, writer))
                task.add_done_callback(lambda _: own_places.release())

    async def _answer(self, batch: Batch, line: Line, writer: "_Writer") -> None:
        if line.refusal is not None:
            await writer.write(batch_lines.refused_entry(batch.id, line, line.refusal))
            return
        num_failures = 0
        while True:
            async with self._places:
                reply = await inside.post(self._app, batch.endpoint, line.body, _caller_of(batch))
            num_failures += reply.status == 502
            if not (reply.status in (429, 503) or (reply.status == 502 and num_failures < MAX_FAILURES)):
                break
            # Nobody waits for it: what a live caller would be told to try again later is tried again later.
            await self._pause(float(reply.headers.get("retry-after", 1)))
        await writer.write(batch_lines.answered_entry(batch.id, line, reply))

    def _give_up_the_rest(self, batch: Batch, journal: Journal) -> None:
        reason = "it was cancelled" if batch.status == "cancelling" else "its completion window ended"
        code = "batch_cancelled" if batch.status == "cancelling" else "batch_expired"
        message = f"This request was not answered: the batch ended before it, because {reason}."
        entries = (
            batch_lines.failed_entry(batch.id, line, code, message)
            for line in self._lines(batch)
            if line.number not in journal.settled
        )
        while some := list(islice(entries, 1000)):
            journal.write(some)

    def _lines(self, batch: Batch) -> Iterator[Line]:
        return read_lines(self._files.path(batch.input_file_id), batch.endpoint)


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(function)


def _check(lines: Iterator[Line]) -> tuple[int, list[Problem]]:
    """Return how many lines there are, and why they can't run as a batch, if they can't."""
    line_of: dict[str, int] = {}
    refused: list[Problem] = []
    doubled: list[Problem] = []
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
                doubled.append(Problem("duplicate_custom_id", message, line.number, "custom_id"))
                del doubled[MAX_PROBLEMS:]
    if not num_lines:
        return 0, [Problem("empty_file", "The file has no requests: write one JSON object a line.")]
    # A line that is wrong by itself is an error among the answers, as long as another line can run.
    return num_lines, doubled or (refused if num_refused == num_lines else [])


class _Writer:
    """Puts answers into the journal: those that came while others were written go to the disk together."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pending: list[Entry] = []
        self._writing = asyncio.Lock()

    async def write(self, entry: Entry) -> None:
        """Return when the entry is on the disk."""
        self._pending.append(entry)
        async with self._writing:
            if self._pending:
                entries, self._pending = self._pending, []
                await asyncio.to_thread(self._journal.write, entries)


class _Places:
    """How many lines are answered at once, of all batches together. Who waits first is first."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._num_taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        while not self._num_free():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._wake()  # The place may have been meant for this one.
                raise
        self._num_taken += 1

    async def __aexit__(self, *_: object) -> None:
        self._num_taken -= 1
        self._wake()

    def _num_free(self) -> int:
        # Asked when a line has ended: what runs is never broken off for a live call, which goes first in each step.
        most = NUM_RUNNING_BESIDE if self._admission.num_open else NUM_RUNNING_ALONE
        return max(0, most - self._num_taken)

    def _wake(self) -> None:
        num_free = self._num_free()
        while num_free and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # One that was cancelled takes no place.
                waiter.set_result(None)
                num_free -= 1


def _caller_of(batch: Batch) -> Caller:
    """Return who the lines of a batch are answered for: its project, allowed to run models and nothing else."""
    permissions = frozenset({Permission.INFERENCE})
    return Caller(project=batch.tenant, key_id="batch", permissions=permissions, is_background=True)
