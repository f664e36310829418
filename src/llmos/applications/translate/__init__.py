"""Translate: translations that keep placeholders, tags, numbers, terms and line breaks, or none."""

from llmos.applications.translate.glossary import Glossary, Term
from llmos.applications.translate.memory import DatasetMemory, FileMemory, Memory, open_memory
from llmos.applications.translate.pairs import Pair
from llmos.applications.translate.translator import Translation, TranslationRefused, Translator

__all__ = ["DatasetMemory", "FileMemory", "Glossary", "Memory", "Pair", "Term", "Translation", "TranslationRefused"]
__all__ += ["Translator", "open_memory"]
