"""Writes Python functions; their tests run in a sandbox, and what fails goes back to the model, at most twice."""

from llmos.applications.code import Coder
from llmos.apps import App

coder = Coder()
app = App.from_folder(__file__, brain=coder.write)
