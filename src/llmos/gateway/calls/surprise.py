"""SurpriseMeter: asks the model that a call is for how surprising the call's texts are, for guardrails.

    texts of the call → pieces → the model's scores of their tokens → beside those of ordinary texts → deviations

It runs the part of the pipeline that belongs to one target, as shadows do: nothing is billed, screened or kept.
"""

import asyncio
from collections.abc import Sequence

from llmos.gateway.calls.attempt import AttemptPolicy, Attempts
from llmos.gateway.calls.call import ModelCall, Prompt
from llmos.gateway.calls.rating import RateCall
from llmos.gateway.calls.record import Record, Recorder
from llmos.gateway.calls.resolve import Resolution, Resolver
from llmos.security.callers import Caller, owner
from llmos.security.guardrails.ordinary_texts import ORDINARY_TEXTS
from llmos.security.guardrails.surprise import Calibration, calibrate

_PIECE_CHARACTERS = 2000
"""Longer texts are asked about in pieces, so that they fit into any context window."""

_AT_ONCE = 8


class SurpriseMeter:
    """Belongs to the event loop's thread."""

    def __init__(self, resolver: Resolver, attempts: Attempts, recorder: Recorder) -> None:
        self._resolver, self._attempts, self._recorder = resolver, attempts, recorder
        self._calibrations: dict[str, asyncio.Task[Calibration]] = {}
        """Reference of a version -> what it makes of ordinary texts."""

    async def of(self, texts: Sequence[str], call: ModelCall, record: Record) -> list[float | None]:
        """Return how many standard deviations each text is above ordinary ones, None for one that is too short.

        Raises LLMOSError where the model can't be asked, as a provider's can't.
        """
        resolution = await self._resolver.resolve(call.model)
        calibration = await self._calibration(resolution, record)
        rating = asyncio.Semaphore(_AT_ONCE)

        async def surprise(text: str) -> float | None:
            async with rating:
                found = [
                    calibration.of(await self._logprobs(piece, call.caller, resolution, record))
                    for piece in _pieces(text)
                ]
            return max((each for each in found if each is not None), default=None)

        return await asyncio.gather(*map(surprise, texts))

    async def _calibration(self, resolution: Resolution, record: Record) -> Calibration:
        """Return that of the version that gets most of the calls. Calls at the same time share one."""
        version = resolution.backend(resolution.main).served.ref
        task = self._calibrations.get(version)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._calibrations[version] = asyncio.create_task(self._calibrate(resolution, record))
        # A caller who goes away must not end it for the others.
        return await asyncio.shield(task)

    async def _calibrate(self, resolution: Resolution, record: Record) -> Calibration:
        caller = owner()
        return calibrate([await self._logprobs(text, caller, resolution, record) for text in ORDINARY_TEXTS])

    async def _logprobs(self, text: str, caller: Caller, resolution: Resolution, record: Record) -> list[float]:
        call = RateCall(model=resolution.name, caller=caller, prompt=Prompt(text=text), scores_prompt=True)
        with self._recorder.open(call, "rate", shadow_of=record.id) as aside:
            ratings = await self._attempts.rate(aside, resolution, resolution.main, call, AttemptPolicy())
        return [token.logprob for token in ratings.rated.prompt]


def _pieces(text: str) -> list[str]:
    """Cut a text into pieces of equal length. Each begins a little before the end of the one before it."""
    if len(text) <= _PIECE_CHARACTERS:
        return [text] if text.strip() else []
    step = _PIECE_CHARACTERS - 200
    return [text[start : start + _PIECE_CHARACTERS] for start in range(0, len(text), step)]
