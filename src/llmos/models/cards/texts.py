"""Sentences and facts about a card, for a terminal and for the page."""

from collections.abc import Mapping
from typing import Any

from llmos.core.schemas.cards import Card, LimitVerdict
from llmos.models.cards.metrics import format_bytes, format_percent, format_ratio, format_signed_percent


def summary(card: Card) -> str:
    """Return one sentence with the most important numbers that were measured."""
    parts = []
    if card.comparison:
        parts.append(f"{format_signed_percent(card.comparison.perplexity_increase)} perplexity")
        parts.append(f"{format_percent(card.comparison.greedy_agreement)} greedy agreement")
    if card.parent_size_bytes:
        parts.append(f"{format_signed_percent(card.size_bytes / card.parent_size_bytes - 1)} size")
    if card.decode and card.decode.ratio:
        parts.append(f"{format_ratio(card.decode.ratio)} the decode speed")
    against = f"Against {card.parent}: " if card.parent else ""
    return f"{against}{', '.join(parts)}." if parts else "Its quality could not be measured."


def facts(card: Card) -> Mapping[str, str]:
    """Return {label: text} about the version and how it was measured."""
    machine, text = card.machine, card.text
    found = {
        "made from": card.parent or card.parent_digest or "",
        "by": recipe_text(card.recipe),
        "weights": card.quantization,
        "measured": f"{card.measured_at:%Y-%m-%d %H:%M} UTC by LLMOS {card.llmos}",
        "on": f"{machine.cpu}, {machine.isa}, {machine.threads} threads, {format_bytes(machine.memory_bytes)}",
        "text": f"{text.num_tokens:,} tokens of {text.name}, in windows of {text.window:,}" if text else "",
    }
    if card.memory:
        found["memory"] = (
            f"peak with {card.memory.streams} streams; KV cache for {card.memory.tokens_per_stream:,} tokens each"
        )
    if card.prefill and card.decode:
        found["speed"] = (
            f"{card.prefill.num_tokens} prompt tokens read, {card.decode.num_tokens} tokens generated;"
            f" median of {len(card.decode.runs)} runs" + (", alternating with the parent" if card.decode.ratio else "")
        )
    return {label: value for label, value in found.items() if value}


def recipe_text(recipe: Mapping[str, Any] | None) -> str:
    """Return a recipe as text, such as "quantize gptq, bits 4, group 32"."""
    if not recipe:
        return ""
    options = recipe.get("options")
    named = [f"{name} {value}" for name, value in options.items()] if isinstance(options, Mapping) else []
    return ", ".join([f"{recipe.get('kind', '')} {recipe.get('scheme', '')}".strip(), *named])


def layers_text(card: Card) -> str:
    """Return up to three sentences about the layers, or an empty string where they weren't compared."""
    layers = card.layers
    if layers is None:
        return ""
    parts = []
    if layers.left_out:
        numbers = ", ".join(map(str, layers.left_out))
        parts.append(f"{len(layers.left_out)} of {layers.parent_layers} layers are removed: {numbers}.")
    for name, label in (("weights", "weights'"), ("hidden", "hidden state's")):
        errors = [(value, each.layer) for each in layers.errors if (value := getattr(each, name)) is not None]
        if errors:
            worst, layer = max(errors)
            last, last_layer = errors[-1]
            after = f"; {format_percent(last)} after the last layer" if name == "hidden" and layer != last_layer else ""
            parts.append(f"The {label} error is largest in layer {layer}: {format_percent(worst)}{after}.")
    return " ".join(parts)


def verdict_text(verdict: LimitVerdict) -> str:
    return f"{'pass' if verdict.passes else 'FAIL'}  {verdict.sentence}"
