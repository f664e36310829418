"""Texts from briefs, and better wording for texts."""

from llmos.applications.write import Writer
from llmos.apps import App

app = App.from_folder(__file__, brain=Writer())
