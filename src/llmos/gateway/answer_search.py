"""Search in the kept texts of answers: words in decrypted conversations, a limited amount of them at a time.

Few answers have a kept text, so the answers that the other filters leave are gone through, newest first.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from llmos.core.schemas.answers import AnswerPage, AnswerSummary
from llmos.data.answers import AnswerFilter, Answers
from llmos.data.answers.answers import read_place
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.data.word_search import Search

MAX_LOOKED_AT = 20_000
"""The answers that one request goes through, kept text or not. Whoever asks goes on where it has stopped."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class AnswerSearch:
    """Any thread may use it."""

    answers: Answers
    responses: KeptResponses

    def list(self, wanted: AnswerFilter, text: str, *, project: str) -> AnswerPage:
        """Return the answers of a project whose kept conversations have all of these words, newest first.

        `next` of the page stands behind the last answer that was looked at, so a page with it may have less answers
        than were asked for, or none.
        """
        wanted.check()
        search, found = Search(text), list[AnswerSummary]()
        place, next = wanted.after, None
        for _ in range(MAX_LOOKED_AT // _AT_ONCE):
            some = self.answers.find(replace(wanted, project=project, limit=_AT_ONCE, after=place))
            kept = self.responses.find(project, [answer.id for _, answer in some])
            for next, answer in some:
                if answer.id not in kept:
                    continue
                if (excerpt := search.look("", texts_of(kept[answer.id]))) is not None:
                    found.append(msgspec.structs.replace(answer, excerpt=excerpt))
                if len(found) == wanted.limit or not search.may_go_on:
                    return AnswerPage(data=found, next=next)
            if len(some) < _AT_ONCE:
                return AnswerPage(data=found)
            next = some[-1][0]
            place = read_place(next)
        return AnswerPage(data=found, next=next)


def texts_of(response: KeptResponse) -> Iterable[Any]:
    """Yield the texts of a conversation: messages, calls of tools and their results."""
    for item in [*_list(response.items), *json.loads(response.body).get("output", [])]:
        if isinstance(item, dict):
            yield from (item[name] for name in ("content", "output", "arguments", "name") if name in item)


def _list(text: str) -> Sequence[Any]:
    items = json.loads(text)
    return items if isinstance(items, list) else []
