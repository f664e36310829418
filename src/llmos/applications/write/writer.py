"""Writer: the brain of the application. It writes a text from a brief, or polishes one."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from llmos.applications.write.briefs import Change, Fact, Task, brief_of
from llmos.applications.write.polishing import polish
from llmos.applications.write.writing import Writing
from llmos.apps import Reply
from llmos.core.errors import BadRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """Writes and polishes texts.

    app = App.from_folder(__file__, brain=Writer())
    app.run({"topic": "Our new bakery", "facts": ["It opens on 1 May 2027."], "words": 200}).text
    app.run("Teh shop are open.", variables={"task": "polish"}).output["changes"]
    """

    async def __call__(
        self,
        brief: Any,
        *,
        task: Task = "write",
        audience: str = "",
        tone: str = "",
        words: int = 300,
        sections: int = 3,
        facts: Annotated[list[Fact], Field(max_length=40)] = [],  # noqa: B006 (pydantic copies it)
        sources: Annotated[list[str], Field(max_length=40)] = [],  # noqa: B006
        allow: Annotated[list[Change], Field(max_length=2)] = [],  # noqa: B006
    ) -> Reply:
        """Return a text for a brief, which is a topic or an object with the same fields, or a polished text.

        allow: what polishing may change besides wording.
        """
        if task == "polish":
            if not isinstance(brief, str) or not brief.strip():
                raise BadRequest("There is no text to polish: give it as the input.", param="input")
            return await polish(brief, allow)
        fields = {"audience": audience, "tone": tone, "words": words, "sections": sections}
        return await Writing(brief=brief_of(brief, {**fields, "facts": facts, "sources": sources})).write()
