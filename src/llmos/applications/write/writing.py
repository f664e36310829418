"""Writing: an outline, its sections all at once, what is missing repaired once, and a critique with one revision."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from llmos.applications.passages import ask_about
from llmos.applications.write.briefs import Brief
from llmos.applications.write.drafts import (
    Section,
    cleaned,
    constraints,
    max_words,
    min_words,
    num_words,
    render,
    shortened,
    with_facts,
)
from llmos.applications.write.facts import assign
from llmos.applications.write.material import passages_for
from llmos.apps import Reply, WrongOutput, ask

_TOKENS_PER_WORD = 2
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_Line = Annotated[str, Field(min_length=3, max_length=80)]


class _OutlinedSection(BaseModel):
    heading: _Line
    points: Annotated[list[Annotated[str, Field(min_length=3, max_length=120)]], Field(max_length=3)]


class Problem(BaseModel):
    """A problem that a critique finds in a section."""

    section: Annotated[int, Field(ge=1)]
    problem: Annotated[str, Field(max_length=200)]


class Critique(BaseModel):
    verdict: Literal["good", "revise"]
    problems: Annotated[list[Problem], Field(max_length=3)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Writing:
    """Writes one text, within a run."""

    brief: Brief

    async def write(self) -> Reply:
        """Return the text. Raises LimitReached, and the errors of the server."""
        notes: list[str] = []
        title, outlined = await self._outline(notes)
        drafts = await asyncio.gather(*(self._draft(each) for each in outlined))
        repaired = await asyncio.gather(*(self._repaired(each) for each in drafts))
        revised, critique = await self._revised(title, repaired, notes)
        sections = [self._finished(each, notes) for each in revised]
        text, figures = render(title, sections, self.brief.known_texts)
        if figures:
            notes.append(f"No source has these figures, which are marked: {', '.join(figures)}.")
        met = constraints(self.brief, text)
        notes += [f"Not met: {name}." for name, is_met in met.items() if not is_met and name.startswith("about")]
        problems = [each.model_dump() for each in critique.problems] if critique else []
        return Reply(
            text=text,
            output={"text": text, "constraints": met, "unverified": figures, "critique": problems},
            notes=notes,
        )

    async def _outline(self, notes: list[str]) -> tuple[str, list[Section]]:
        """Return the title and the sections with their facts. The schema holds their number."""
        number = self.brief.sections
        count: Any = Annotated[list[_OutlinedSection], Field(min_length=number, max_length=number)]
        kind: Any = create_model("Outline", title=(_Line, ...), sections=(count, ...))
        question = (
            f"{self._task()}\nMake an outline: a title, and {number} sections with a heading and key points each."
        )
        try:
            made = (await ask(question, output=kind, options={"max_tokens": 100 + 150 * number})).output
        except WrongOutput:  # It was cut: a small model may write points without an end.
            notes.append("The model made no outline: the sections have plain headings.")
            return self.brief.topic[:80], self._with_facts(
                [Section(heading=f"Part {each}") for each in _NUMBERS[:number]]
            )
        sections = [Section(heading=" ".join(each.heading.split()), points=each.points) for each in made.sections]
        return " ".join(made.title.split()), self._with_facts(sections)

    def _with_facts(self, sections: Sequence[Section]) -> list[Section]:
        assigned = assign(self.brief.facts, [" ".join([each.heading, *each.points]) for each in sections])
        return [replace(each, facts=facts) for each, facts in zip(sections, assigned, strict=True)]

    async def _draft(self, section: Section) -> Section:
        return replace(section, text=await self._text(section, self._section_question(section)))

    async def _repaired(self, section: Section) -> Section:
        """Return a section after one more call if it doesn't use its facts, or is too short."""
        missing, is_short = section.missing, num_words(section.text) < min_words(self.brief)
        if not missing and not is_short:
            return section
        parts = (
            [f"This draft lacks facts:\n{section.text}"] if missing else [f"This draft is too short:\n{section.text}"]
        )
        parts += ["Write it again, with:\n" + "\n".join(f"- {fact}" for fact in missing)] if missing else []
        parts += [f"Write it again, with more details, in {self.brief.words_per_section} words."] if is_short else []
        question = f"{self._section_question(section)}\n" + "\n\n".join(parts)
        other = replace(section, text=await self._text(section, question))
        return min(section, other, key=self._faults)

    def _faults(self, section: Section) -> tuple[int, bool]:
        return len(section.missing), num_words(section.text) < min_words(self.brief)

    async def _revised(
        self, title: str, sections: Sequence[Section], notes: list[str]
    ) -> tuple[list[Section], Critique | None]:
        """Return the sections after one revision of those that a critique names, and the critique."""
        text = "\n\n".join(f"Section {number}: {each.heading}\n{each.text}" for number, each in enumerate(sections, 1))
        question = (
            f"{self._task()}\nCritique this text, and name the sections that must be revised:\n\n{title}\n\n{text}"
        )
        try:
            critique: Critique = (await ask(question, output=Critique, options={"max_tokens": 300})).output
        except WrongOutput:
            notes.append("The model gave no critique: nothing was revised.")
            return [*sections], None
        if critique.verdict == "good":
            return [*sections], critique
        by_section = {each.section - 1: each.problem for each in critique.problems}
        revised = await asyncio.gather(
            *(
                self._revision(each, by_section[index]) if index in by_section else _same(each)
                for index, each in enumerate(sections)
            )
        )
        return [*revised], critique

    async def _revision(self, section: Section, problem: str) -> Section:
        """Return a section revised, or as it was if it loses facts, or most of its words."""
        question = f"{self._section_question(section)}\nRevise this draft:\n{section.text}\n\nThe problem: {problem}"
        other = replace(section, text=await self._text(section, question))
        is_shorter = num_words(other.text) < num_words(section.text) / 2
        return section if is_shorter or len(other.missing) > len(section.missing) else other

    async def _text(self, section: Section, question: str) -> str:
        options = {"max_tokens": _TOKENS_PER_WORD * max_words(self.brief) + 20}
        passages = passages_for(question, self.brief.sources)
        answer = await (ask_about(passages, question, options=options) if passages else ask(question, options=options))
        return cleaned(answer.text, is_cut=answer.finish_reason == "length")

    def _finished(self, section: Section, notes: list[str]) -> Section:
        """Return a section with the facts that the model didn't use behind its text, and not too long."""
        missing = section.missing
        notes += [f"The model didn't use this fact, which stands in its own words: {fact}" for fact in missing]
        text = shortened(section.text, max_words(self.brief) - num_words(" ".join(missing)), section.facts)
        return replace(section, text=with_facts(text, missing))

    def _task(self) -> str:
        brief = self.brief
        parts = [f"The text is about: {brief.topic}"]
        parts += [f"Its readers are: {brief.audience}"] if brief.audience else []
        parts += [f"Its tone is: {brief.tone}"] if brief.tone else []
        return "\n".join(parts)

    def _section_question(self, section: Section) -> str:
        points = f" Its points: {'; '.join(section.points)}." if section.points else ""
        facts = (
            "\nIt must use these facts:\n" + "\n".join(f"- {fact}" for fact in section.facts) if section.facts else ""
        )
        return (
            f"{self._task()}\nWrite the section {section.heading!r} in about {self.brief.words_per_section} words,"
            f" without a heading.{points}{facts}"
        )


async def _same(section: Section) -> Section:
    return section
