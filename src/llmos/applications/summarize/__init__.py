"""The application `summarize`: summaries of documents of any length, each sentence with the places that it rests on."""

from llmos.applications.summarize.summarizer import Summarizer

__all__ = ["Summarizer"]
