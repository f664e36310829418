"""Screening: the guardrails of one call, and what they have found.

prompt  → each guardrail of the input in turn → the texts that the model gets, or PromptBlocked
answer  → ChannelScreen: each guardrail of the output in turn → placeholders put back → the text that the caller gets
"""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from llmos.core.errors import PromptBlocked
from llmos.security.guardrails.guardrail import (
    Channel,
    GuardrailFailed,
    Hit,
    OutOfTime,
    Piece,
    Source,
    Stream,
    pieces_of,
    text_of,
)
from llmos.security.guardrails.placeholders import Placeholders
from llmos.security.guardrails.policy import Policy, Step

_log = logging.getLogger(__name__)

_thread_clock = time.thread_time
_wall_clock = time.perf_counter


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a guardrail found. Without its text."""

    policy: str
    guardrail: str
    rule: str
    verdict: str
    """block, redact or flag."""
    side: str
    """input or output."""


OUT_OF_TIME = "out_of_time"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class _Steps:
    """The guardrails of some policies."""

    input: Sequence[Step]
    output: Sequence[Step]
    of_model: Sequence[Step]
    """The steps of the input that ask the called model."""
    waits_for_prompt: bool
    waits_for_answer: bool


@lru_cache(16)
def _steps_of(policies: tuple[Policy, ...]) -> _Steps:
    """Return the guardrails of the policies that screen a call. Many calls are screened by the same ones."""
    input = [step for policy in policies for step in policy.input]
    output = [step for policy in policies for step in policy.output]
    return _Steps(
        input,
        output,
        [step for step in input if step.model_guardrail is not None],
        waits_for_prompt=any(step.guardrail.waits for step in input),
        waits_for_answer=any(step.guardrail.waits for step in output),
    )


class Screening:
    """The guardrails of one call. Policies apply in order."""

    def __init__(self, policies: Sequence[Policy], *, num_choices: int = 1) -> None:
        """`num_choices`: of the answer."""
        self.policies, self.num_choices = policies, num_choices
        self.findings: list[Finding] = []
        self.placeholders = Placeholders()
        self._steps = _steps_of(tuple(policies))
        self._judged: set[int] = set()

    @property
    def model_steps(self) -> Sequence[Step]:
        """The guardrails of the prompt that judge by what the called model makes of it. Whoever calls the model asks
        it, and passes what it says to judge()."""
        return self._steps.of_model

    @property
    def screens_input(self) -> bool:
        return bool(self._steps.input)

    @property
    def waits_for_prompt(self) -> bool:
        """Return whether screening the prompt waits for another program."""
        return self._steps.waits_for_prompt

    @property
    def waits_for_answer(self) -> bool:
        return self._steps.waits_for_answer

    @property
    def has_blocked(self) -> bool:
        return any(finding.verdict == "block" for finding in self.findings)

    @property
    def screens_output(self) -> bool:
        """Return whether the answer may differ from what the model says."""
        return bool(self._steps.output or self.placeholders)

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source] | None = None) -> list[str]:
        """Return the texts as the model may see them. Raises PromptBlocked. `sources`: of each; by default users."""
        self.placeholders.avoid(texts)
        sources = ["user"] * len(texts) if sources is None else sources
        screened, stopwatch, kinds = list(texts), Stopwatch(), set(sources)
        for step in self._steps.input:
            if id(step) in self._judged:
                continue
            if kinds.issubset(step.guardrail.sources):
                if _finds_nothing(step, screened):
                    continue
                screened = list(self._screen_texts(step, screened, list(sources), stopwatch))
                continue
            chosen = [i for i, source in enumerate(sources) if step.screens(source)]
            texts_of_step = self._screen_texts(
                step, [screened[i] for i in chosen], [sources[i] for i in chosen], stopwatch
            )
            for i, text in zip(chosen, texts_of_step, strict=True):
                screened[i] = text
        return screened

    def judge(self, step: Step, surprises: Sequence[float | None]) -> None:
        """Record what one of the model_steps makes of the called model's opinion. Raises PromptBlocked.

        `surprises`: how many standard deviations above ordinary text each of its texts is; None: it is too short.
        """
        guardrail = step.model_guardrail
        assert guardrail is not None, "it is one of model_steps"
        self._judged.add(id(step))
        if any(map(guardrail.is_hit, surprises)):
            self._shown(step, Hit(guardrail.rule))

    def fail(self, step: Step, error: Exception) -> None:
        """Record that one of the model_steps has no opinion of the model. Raises PromptBlocked if it fails closed."""
        self._judged.add(id(step))
        rule = _reason(step, error)
        if step.fail_closed:
            raise self.block_prompt(step, rule)
        self.record(step, rule, "flag", "input")

    def block_prompt(self, step: Step, rule: str) -> PromptBlocked:
        """Record that a guardrail blocks the prompt, and return the error."""
        self.record(step, rule, "block", "input")
        what = {
            OUT_OF_TIME: "couldn't screen it in its time, and what it can't screen is blocked",
            FAILED: "failed, and what it can't screen is blocked",
        }.get(rule, f"found {rule.replace('_', ' ')}")
        remedy = "Try again later." if rule in (OUT_OF_TIME, FAILED) else "Remove it and send the prompt again."
        return PromptBlocked(
            f"The guardrail {step.name} of the policy {step.policy} blocked the prompt: it {what}. {remedy}"
        )

    def record(self, step: Step, rule: str, verdict: str, side: str) -> None:
        finding = Finding(step.policy, step.name, rule, verdict, side)
        # One choice may have hundreds of equal hits.
        if finding not in self.findings:
            self.findings.append(finding)

    def open_channel(self, channel: Channel = "text") -> "ChannelScreen":
        """Return the screen of one part of an answer."""
        steps = [step for step in self._steps.output if channel in step.guardrail.channels]
        return ChannelScreen(self, steps, is_json=channel == "arguments")

    def _screen_texts(self, step: Step, texts: list[str], sources: list[Source], stopwatch: "Stopwatch") -> list[str]:
        screened: list[str] = []
        try:
            checked = _Deadline(step, stopwatch)
            for pieces in step.guardrail.screen_prompt(texts, sources):
                screened.append("".join(self._shown(step, piece) for piece in checked(pieces)))
        except PromptBlocked:
            raise
        except Exception as error:
            rule = _reason(step, error)
            if step.fail_closed:
                raise self.block_prompt(step, rule) from None
            self.record(step, rule, "flag", "input")
            return texts
        return screened

    def _shown(self, step: Step, piece: Piece) -> str:
        if isinstance(piece, str):
            return piece
        if step.action == "block":
            raise self.block_prompt(step, piece.rule)
        self.record(step, piece.rule, "flag" if step.action == "flag" else "redact", "input")
        if step.action == "flag":
            return piece.text
        return self.placeholders.hide(piece.rule, piece.text) if step.action == "placeholder" else mask(piece)


class ChannelScreen:
    """The guardrails of the output on one part of an answer."""

    def __init__(self, screening: Screening, steps: Sequence[Step], *, is_json: bool) -> None:
        """`is_json`: what stands in the place of a hit keeps the text valid JSON."""
        self._screening = screening
        self._screens = [_Screen(step, screening, is_json=is_json) for step in steps]
        self._restoring = screening.placeholders.restoring(is_json=is_json)
        self.is_blocked = False

    def push(self, text: str) -> str:
        """Return what the caller may see by now. After the text is blocked, that is nothing more."""
        return self._screened(text, is_complete=False)

    def end(self, text: str) -> str:
        """Return the rest of a text that ends with `text`."""
        return self._screened(text, is_complete=True)

    def finish(self) -> str:
        """Return the rest."""
        return self._screened("", is_complete=True)

    def _screened(self, text: str, *, is_complete: bool) -> str:
        if self.is_blocked:
            return ""
        stopwatch = Stopwatch()
        for screen in self._screens:
            text, is_blocked = screen.screen(text, stopwatch, is_complete=is_complete)
            # The later guardrails get only the text before the hit.
            is_complete = is_complete or is_blocked
            self.is_blocked = self.is_blocked or is_blocked
        return self._restoring(text, is_complete=is_complete)


class _Screen:
    """One guardrail on one channel."""

    def __init__(self, step: Step, screening: Screening, *, is_json: bool) -> None:
        self._step, self._screening = step, screening
        self._opened: Stream | None = None
        self._json = JsonState() if is_json else None
        self._is_whole = True
        """Nothing has been pushed so far, so that what comes with the end is the whole text."""

    @property
    def _stream(self) -> Stream:
        """The guardrail's stream, opened when it is first needed: a whole text mostly needs none."""
        if self._opened is None:
            self._opened = self._step.guardrail.screen_stream()
        return self._opened

    def screen(self, text: str, stopwatch: "Stopwatch", *, is_complete: bool) -> tuple[str, bool]:
        """Return what the guardrail lets pass by now, and whether it blocks the rest."""
        is_whole, self._is_whole = self._is_whole and is_complete, False
        if is_whole and _finds_nothing(self._step, [text]):
            if self._json is not None:
                self._json.push(text)
            return text, False
        passed: list[str] = []
        try:
            deadline = _Deadline(self._step, stopwatch)
            for piece in deadline(self._pieces(text, is_complete=is_complete)):
                if isinstance(piece, Hit) and self._step.action == "block":
                    self._screening.record(self._step, piece.rule, "block", "output")
                    return "".join(passed), True
                passed.append(self._shown(piece))
        except Exception as error:
            rule = _reason(self._step, error)
            verdict = "block" if self._step.fail_closed else "flag"
            self._screening.record(self._step, rule, verdict, "output")
            if self._step.fail_closed:
                return "".join(passed), True
            passed.append(self._stream.held())
            self._opened = None
        return "".join(passed), False

    def _pieces(self, text: str, *, is_complete: bool) -> Iterator[Piece]:
        if not is_complete:
            return self._stream.push(text) if text else iter(())
        return pieces_of(self._stream, text) if text else self._stream.finish()

    def _shown(self, piece: Piece) -> str:
        shown = text_of(piece)
        if isinstance(piece, Hit):
            verdict = "flag" if self._step.action == "flag" else "redact"
            self._screening.record(self._step, piece.rule, verdict, "output")
            if verdict == "redact":
                is_bare = self._json is not None and not self._json.in_string
                return json.dumps(mask(piece)) if is_bare else mask(piece)
        if self._json is not None:
            self._json.push(shown)
        return shown


def _finds_nothing(step: Step, texts: list[str]) -> bool:
    """Return True if the guardrail says at once, and in its time, that it finds nothing. False: the texts have to be
    screened, which says why."""
    if step.quick_guardrail is None:
        return False
    began = _wall_clock()
    try:
        found_nothing = step.quick_guardrail.finds_nothing(texts)
    except Exception:
        return False
    return found_nothing and _wall_clock() - began <= step.budget_seconds


class JsonState:
    """The state of a growing JSON text: whether its end is inside a string."""

    def __init__(self) -> None:
        self.in_string = False
        self._is_escaped = False

    def push(self, text: str) -> None:
        for character in text:
            if self._is_escaped:
                self._is_escaped = False
            elif character == '"':
                self.in_string = not self.in_string
            elif character == "\\" and self.in_string:
                self._is_escaped = True


def mask(hit: Hit) -> str:
    """Return what stands in the place of a hit: [EMAIL]."""
    return f"[{hit.rule.upper()}]"


class Stopwatch:
    """The times at which several guardrails began their work, one after another.

    What counts is processor time: what a guardrail takes, and not what others on the machine take. To ask for it is
    slow, so it is asked for once for all, and again only of one that has taken long on the clock on the wall.
    """

    __slots__ = ("cpu_began", "wall_began")

    def __init__(self) -> None:
        self.wall_began, self.cpu_began = _wall_clock(), _thread_clock()


class _Deadline:
    """The moment until which a guardrail may take its time."""

    __slots__ = ("_began", "_budget", "_stopwatch", "_waits")

    def __init__(self, step: Step, stopwatch: Stopwatch) -> None:
        self._began, self._stopwatch = _wall_clock(), stopwatch
        # While it waits for another program, processor time stands still.
        self._budget, self._waits = step.budget_seconds, step.guardrail.waits

    def __call__(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Yield the pieces. Raises OutOfTime after the deadline, between two pieces: none is lost."""
        for piece in pieces:
            yield piece
            self.check()

    def check(self) -> None:
        """Raise OutOfTime after the deadline."""
        if _wall_clock() - self._began > self._budget and (self._waits or self._cpu_seconds() > self._budget):
            raise OutOfTime

    def _cpu_seconds(self) -> float:
        """Return the least that it can have taken: the guardrails before it took no more than they took on the wall."""
        others = self._began - self._stopwatch.wall_began
        return _thread_clock() - self._stopwatch.cpu_began - others


def _reason(step: Step, error: Exception) -> str:
    if isinstance(error, OutOfTime):
        return OUT_OF_TIME
    # The message of any other error may have a piece of the text.
    reason = str(error) if isinstance(error, GuardrailFailed) else type(error).__name__
    _log.error("The guardrail %s of the policy %s failed: %s", step.name, step.policy, reason)
    return FAILED
