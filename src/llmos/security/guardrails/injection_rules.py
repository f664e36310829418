"""Rules of prompt injections: expressions on normalized text. Alone they prove nothing; the model weighs them."""

import re
from collections.abc import Iterator, Mapping

from llmos.security.guardrails.markup import hidden_markup
from llmos.security.guardrails.normalization import normalize, views

_CANCEL = r"(?:ignor\w*|disregard\w*|forget\w*|overrid\w*|bypass\w*|discard\w*|neglect\w*|(?:do not|don't|stop) (?:follow|obey|listen)\w*(?: to)?)"
_RULES = r"(?:instruction|direction|guideline|prompt|rule|command|constraint|restriction|programming|training|order|polic(?:y|ie)|filter|safeguard)s?"
_OWN = r"(?:system prompt|system message|initial prompt|pre-?prompt|hidden (?:instructions|prompt|rules)|(?:your|initial|original|secret|confidential) (?:instructions|prompt|rules|directives|configuration))"

PATTERNS: Mapping[str, str] = {
    "instruction_override": rf"\b{_CANCEL}\b.{{0,40}}\b(?:previous|prior|above|earlier|preceding|original|initial|your|all|any)\b.{{0,30}}\b{_RULES}\b",
    "system_prompt_request": rf"\b(?:reveal|print|show|repeat|output|display|tell|write|recite|leak|dump|give|share|expose|copy)\b.{{0,40}}\b{_OWN}\b",
    "no_limits": r"\b(?:without|no|free (?:of|from)|not bound by|disable|remove|turn off|lift|bypass)\b.{0,30}\b(?:restrictions|filters?|limit(?:s|ations)|guidelines|censorship|guardrails|safeguards|moderation|moral)\b",
    "persona": r"\b(?:do anything now|dan mode|jail ?br(?:eak|oken)\w*|developer mode|unfiltered|uncensored|amoral|evil (?:ai|bot|twin)|stay in character|always intelligent and machiavellian)\b",
    "addressed_model": r"\b(?:attention|note to|dear|instructions? for|if you are an?|message (?:to|for)|any|every) (?:the |all |this )?(?:ai|llm|language model|assistants?|chat ?bot|gpt|summari[sz]er|agents?)s?\b",
    "secrecy": r"\b(?:do not|don't|never|without) (?:tell|telling|mention|mentioning|inform|informing|ask|asking|reveal|revealing|alert)\w*\b.{0,25}\b(?:user|them|anyone|this|it|human|confirmation)\b",
    "image_with_data": r"!\[[^\]]{0,80}\]\([^)]{0,200}[?&=][^)]{0,200}\)",
    "role_line": r"(?:^|\n)\W{0,4}(?:system|assistant|developer|admin|human|user|systeme|sistema|systeem|sistem|система|النظام|सिस्टम|系统|系統|システム|시스템)\W{0,3}:",
    "section_end": r"\b(?:end of (?:text|document|prompt|user input|instructions)|new (?:instructions?|task|objective|rule|directive)s?)\b\s*[:>\])=-]",
}  # fmt: skip

CONTROL_TOKENS = re.compile(
    r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|channel|message|return)\|>"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<\|?begin▁of▁sentence\|?>|<｜(?:User|Assistant)｜>|<\[?/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS)\]?>",
    re.IGNORECASE,
)  # fmt: skip
"""The control strings that chat templates put around messages. Within a message, they fake its end."""

HIDDEN_MARKUP = "hidden_markup"
"""The rule of passages that a page doesn't show."""

RULES = (*PATTERNS, HIDDEN_MARKUP)

_COMPILED = {name: re.compile(pattern, re.DOTALL) for name, pattern in PATTERNS.items()}


def matching_rules(text: str) -> list[str]:
    """Return the names of the rules that match a normalized text."""
    return [name for name, pattern in _COMPILED.items() if pattern.search(text)]


def readings(passage: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the normalized texts that a passage holds, each with the rules that match it."""
    for _, view in views(passage):
        yield view, matching_rules(view)
    for hidden in hidden_markup(passage):
        text = normalize(hidden)
        yield text, [*matching_rules(text), HIDDEN_MARKUP]
