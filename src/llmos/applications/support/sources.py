"""LanguageKnowledge: knowledge with documents in several languages, which answers in that of the question.

faq/en/returns.md   faq/zh/returns.md   ◀── 怎么退货？
"""

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from llmos.applications.support.languages import language_of
from llmos.apps import Knowledge
from llmos.apps.knowledge import AnswerMode
from llmos.apps.manifest import arguments_of, folder_of
from llmos.apps.server import Server
from llmos.client.grounding import Unsupported
from llmos.core.app_manifest import FILE_NAME, read_manifest
from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge import SearchDescription, SearchHit

_DEPTH = 4
"""So many times as many passages are searched: some of them are in another language."""
_MAX_HITS = 100


@dataclass(frozen=True, slots=True)
class LanguageKnowledge:
    """Knowledge whose documents stand in a folder for each language, or have `language` in their metadata.

    Where no passage is in the language of the question, those in other languages are taken.
    """

    knowledge: Knowledge
    languages: tuple[str, ...] = ("en", "zh")

    @classmethod
    def from_folder(cls, path: str | Path) -> "LanguageKnowledge":
        """Make that of app.yaml; its languages are the folders in that of its documents. Raises BadRequest."""
        folder = folder_of(path)
        manifest = read_manifest(folder)
        knowledge = arguments_of(manifest, folder).get("knowledge")
        if manifest.knowledge is None or knowledge is None:
            raise BadRequest(f"{folder / FILE_NAME} has no `knowledge` to answer from. Add it.")
        documents = folder / (manifest.knowledge.documents or "")
        found = tuple(sorted(each.name for each in documents.iterdir() if each.is_dir())) if documents.is_dir() else ()
        return cls(knowledge, found or cls(knowledge).languages)

    @property
    def name(self) -> str:
        return self.knowledge.name

    @property
    def answer(self) -> AnswerMode:
        return self.knowledge.answer

    @property
    def unsupported(self) -> Unsupported:
        return self.knowledge.unsupported

    @property
    def abstain(self) -> str:
        return self.knowledge.abstain

    async def search(self, server: Server, question: str) -> SearchDescription:
        deep = replace(self.knowledge, top_k=min(self.knowledge.top_k * _DEPTH, _MAX_HITS))
        found = await deep.search(server, question)
        language = language_of(question, self.languages)
        hits = [hit for hit in found.hits if _language_of(hit) == language] or list(found.hits)
        return msgspec.structs.replace(found, hits=hits[: self.knowledge.top_k])


def _language_of(hit: SearchHit) -> str:
    """Return what the metadata of a passage says, or the first folder of its document."""
    return str(hit.metadata.get("language") or hit.citation.document.partition("/")[0])
