"""Answers: the facts of each call, for some time. No text of a prompt or an answer is among them."""

from llmos.data.answers.answers import Answers as Answers
from llmos.data.answers.filters import AnswerFilter as AnswerFilter
