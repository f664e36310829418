"""Testing applications: a script in place of the model, without a server, and cassettes of real runs."""

from llmos.apps.testing.cassette import Cassette
from llmos.apps.testing.script import Call, Script
from llmos.client.recordings import PromptChanged

__all__ = ["Call", "Cassette", "PromptChanged", "Script"]
