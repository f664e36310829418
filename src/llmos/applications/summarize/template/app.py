"""Summaries of texts, of the files in data/, and of documents of knowledge."""

from pathlib import Path

from llmos.applications.summarize import Summarizer
from llmos.apps import App

app = App.from_folder(__file__, brain=Summarizer(folder=Path(__file__).parent / "data"))
