"""Reports of a run for other programs and for people: JUnit XML, Markdown, and sentences."""

from llmos.evals.reports.junit import junit_xml
from llmos.evals.reports.markdown import markdown
from llmos.evals.reports.sentences import replay_sentences, sentences

__all__ = ["junit_xml", "markdown", "replay_sentences", "sentences"]
