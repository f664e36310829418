"""Translates texts, and keeps placeholders, tags, numbers, terms and line breaks."""

from pathlib import Path

from llmos.applications.translate import Glossary, Translator, open_memory
from llmos.apps import App, ask

FOLDER = Path(__file__).parent
MEMORY = FOLDER / "data" / "memory.jsonl"
# A deployed app can't keep files. With approvals on the server: MEMORY = "dataset:translate-memory", and in app.yaml
# permissions: [datasets:read].

translator = Translator(
    ask=ask,
    prompt=FOLDER / "prompts" / "translate.md",
    glossary=Glossary.read(FOLDER / "data" / "glossary"),
    memory=open_memory(MEMORY),
)
app = App.from_folder(__file__, brain=translator.brain)
