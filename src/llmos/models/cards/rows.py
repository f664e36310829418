"""A card as rows that a person reads: on a terminal and on the page. Numbers that nobody measured have no text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmos.core.schemas.cards import Card, LimitVerdict

Number = Callable[[Card], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    name: str
    label: str
    mine: Number
    theirs: Number
    """The parent's."""
    shown: Callable[[float], str]
    field: str
    """Of the card: `not_measured` says by it why there is no number."""
    of_machine: bool = False
    """Another machine gives another number."""
    of_text: bool = False
    """Another text gives another number."""
    of_parent: bool = False
    """Already a comparison: two of them differ, but neither is so much more than the other."""
    more_is_better: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    label: str
    value: str
    other: str
    """The parent's, or the other card's."""
    change: str


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def millions(count: float) -> str:
    return f"{count / 1e6:,.1f} M" if count < 1e9 else f"{count / 1e9:,.2f} B"


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def signed_percent(share: float) -> str:
    return f"{100 * share:+.1f} %" if abs(share) >= 0.1 else f"{100 * share:+.2f} %"


def nats(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 or not value else f"{value:.1e}"


def _rate(value: float) -> str:
    return f"{value:,.0f} tokens/s" if value >= 10 else f"{value:.2g} tokens/s"


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="size_bytes",
        label="size on disk",
        mine=lambda card: card.size_bytes,
        theirs=lambda card: card.parent_size_bytes,
        shown=megabytes,
        field="size_bytes",
        more_is_better=False,
    ),
    Measure(
        name="parameters",
        label="parameters",
        mine=lambda card: card.parameters,
        theirs=lambda card: card.parent_parameters,
        shown=millions,
        field="parameters",
    ),
    Measure(
        name="perplexity",
        label="perplexity",
        mine=lambda card: card.quality.perplexity if card.quality else None,
        theirs=lambda card: card.comparison.perplexity if card.comparison else None,
        shown=lambda value: f"{value:,.3f}",
        field="quality",
        of_text=True,
        more_is_better=False,
    ),
    Measure(
        name="greedy_agreement",
        label="greedy agreement",
        mine=lambda card: card.comparison.greedy_agreement if card.comparison else None,
        theirs=lambda card: None,
        shown=percent,
        field="comparison",
        of_text=True,
        of_parent=True,
        more_is_better=True,
    ),
    Measure(
        name="kl_mean",
        label="KL divergence, mean (nats)",
        mine=lambda card: card.comparison.kl_mean if card.comparison else None,
        theirs=lambda card: None,
        shown=nats,
        field="comparison",
        of_text=True,
        of_parent=True,
        more_is_better=False,
    ),
    Measure(
        name="kl_p99",
        label="KL divergence, p99 (nats)",
        mine=lambda card: card.comparison.kl_p99 if card.comparison else None,
        theirs=lambda card: None,
        shown=nats,
        field="comparison",
        of_text=True,
        of_parent=True,
        more_is_better=False,
    ),
    Measure(
        name="resident_bytes",
        label="memory while serving",
        mine=lambda card: card.memory.resident_bytes if card.memory else None,
        theirs=lambda card: card.parent_memory.resident_bytes if card.parent_memory else None,
        shown=megabytes,
        field="memory",
        of_machine=True,
        more_is_better=False,
    ),
    Measure(
        name="prefill_tokens_per_second",
        label="prefill",
        mine=lambda card: card.prefill.tokens_per_second if card.prefill else None,
        theirs=lambda card: card.prefill.parent_tokens_per_second if card.prefill else None,
        shown=_rate,
        field="prefill",
        of_machine=True,
        more_is_better=True,
    ),
    Measure(
        name="decode_tokens_per_second",
        label="decode",
        mine=lambda card: card.decode.tokens_per_second if card.decode else None,
        theirs=lambda card: card.decode.parent_tokens_per_second if card.decode else None,
        shown=_rate,
        field="decode",
        of_machine=True,
        more_is_better=True,
    ),
)
"""In the order in which they are shown."""

MISSING = "not measured"


def against_parent(card: Card) -> list[Row]:
    """Return the card's rows, each beside the parent's number. What compares with a parent is left out without one."""
    rows = []
    for measure in MEASURES:
        if measure.of_parent and card.parent is None:
            continue
        mine, theirs = measure.mine(card), measure.theirs(card)
        change = "" if mine is None or theirs is None else _change_from_parent(card, measure, mine, theirs)
        rows.append(
            Row(
                label=measure.label,
                value=_shown(card, measure, mine),
                other="" if theirs is None else measure.shown(theirs),
                change=change,
            )
        )
    return rows


def side_by_side(card: Card, other: Card) -> list[Row]:
    """Return both cards' rows, and how far the second is from the first, where that can be said."""
    rows = []
    for measure in MEASURES:
        mine, theirs = measure.mine(card), measure.mine(other)
        if mine is None and theirs is None and measure.of_parent:
            continue
        difference = differences(card, other).get(measure.name)
        shown = "" if difference is None else _as_change(measure, difference)
        value, beside = _shown(card, measure, mine), _shown(other, measure, theirs)
        rows.append(Row(label=measure.label, value=value, other=beside, change=shown))
    return rows


def differences(card: Card, other: Card) -> dict[str, float]:
    """Return by how much each number of `other` is more: as a share of the card's, or, of what compares with a parent,
    as the difference. What was measured on another machine or text has none."""
    found = {}
    for measure in MEASURES:
        before, after = measure.mine(card), measure.mine(other)
        if before is None or after is None or (why_apart(card, other, measure) is not None):
            continue
        if measure.of_parent:
            found[measure.name] = after - before
        elif before:
            found[measure.name] = after / before - 1
    return found


def why_apart(card: Card, other: Card, measure: Measure) -> str | None:
    """Return why two numbers can't be compared, None where they can."""
    if measure.of_machine and card.machine != other.machine:
        return "Memory and speed were measured on different machines."
    if measure.of_text and card.text != other.text:
        return "Quality was measured on different texts."
    if measure.of_parent and card.parent_digest != other.parent_digest:
        return "They are compared with different parents."
    return None


def notes_on(card: Card, other: Card) -> list[str]:
    """Return why some of the numbers of two cards can't be compared."""
    reasons = [why_apart(card, other, measure) for measure in MEASURES]
    return list(dict.fromkeys(reason for reason in reasons if reason is not None))


def summary(card: Card) -> str:
    """A sentence with what matters most; what wasn't measured isn't in it."""
    parts = []
    if card.comparison:
        parts.append(f"{signed_percent(card.comparison.perplexity_increase)} perplexity")
        parts.append(f"{percent(card.comparison.greedy_agreement)} greedy agreement")
    if card.parent_size_bytes:
        parts.append(f"{signed_percent(card.size_bytes / card.parent_size_bytes - 1)} size")
    if card.decode and card.decode.ratio:
        parts.append(f"{card.decode.ratio:.2f} times the decode speed")
    against = f"Against {card.parent}: " if card.parent else ""
    return f"{against}{', '.join(parts)}." if parts else "Nothing of its quality could be measured."


def facts(card: Card) -> Mapping[str, str]:
    """Return what is to be known of the measuring, by its label."""
    machine, text = card.machine, card.text
    found = {
        "made from": card.parent or card.parent_digest or "",
        "by": recipe_text(card.recipe),
        "weights": card.quantization,
        "measured": f"{card.measured_at:%Y-%m-%d %H:%M} UTC by LLMOS {card.llmos}",
        "on": f"{machine.cpu}, {machine.isa}, {machine.threads} threads, {megabytes(machine.memory_bytes)}",
        "text": f"{text.num_tokens:,} tokens of {text.name}, in windows of {text.window:,}" if text else "",
    }
    if card.memory:
        found["memory"] = f"at its highest with {card.memory.streams} streams; KV cache for "
        found["memory"] += f"{card.memory.tokens_per_stream:,} tokens each"
    if card.prefill and card.decode:
        found["speed"] = (
            f"{card.prefill.num_tokens} tokens of a prompt read, {card.decode.num_tokens} written;"
            f" median of {len(card.decode.runs)}" + (", the parent asked in between" if card.decode.ratio else "")
        )
    return {label: value for label, value in found.items() if value}


def recipe_text(recipe: Mapping[str, Any] | None) -> str:
    """ "quantize gptq, bits 4, group 32"."""
    if not recipe:
        return ""
    options = recipe.get("options")
    named = [f"{name} {value}" for name, value in options.items()] if isinstance(options, Mapping) else []
    return ", ".join([f"{recipe.get('kind', '')} {recipe.get('scheme', '')}".strip(), *named])


def layers_text(card: Card) -> str:
    """A sentence or two about the layers, nothing where they weren't compared."""
    layers = card.layers
    if layers is None:
        return ""
    parts = []
    if layers.left_out:
        numbers = ", ".join(map(str, layers.left_out))
        parts.append(f"{len(layers.left_out)} of {layers.parent_layers} layers are gone: {numbers}.")
    for name, label in (("weights", "weights'"), ("hidden", "hidden state's")):
        errors = [(value, each.layer) for each in layers.errors if (value := getattr(each, name)) is not None]
        if errors:
            worst, layer = max(errors)
            last, last_layer = errors[-1]
            after = f"; {percent(last)} after the last" if name == "hidden" and layer != last_layer else ""
            parts.append(f"The {label} error is largest in layer {layer}: {percent(worst)}{after}.")
    return " ".join(parts)


def verdict_text(verdict: LimitVerdict) -> str:
    return f"{'pass' if verdict.passes else 'FAIL'}  {verdict.sentence}"


def _shown(card: Card, measure: Measure, value: float | None) -> str:
    if value is None:
        return MISSING
    if measure.name == "perplexity" and card.quality:
        return f"{measure.shown(value)} ± {card.quality.standard_error:,.3f}"
    return measure.shown(value)


def _change_from_parent(card: Card, measure: Measure, mine: float, theirs: float) -> str:
    if measure.name == "perplexity" and card.comparison:
        error = f"{100 * card.comparison.standard_error:.2f}"
        return f"{signed_percent(card.comparison.perplexity_increase)} ± {error}"
    rate = {"prefill_tokens_per_second": card.prefill, "decode_tokens_per_second": card.decode}.get(measure.name)
    if rate is not None and rate.ratio is not None:
        return f"{rate.ratio:.2f} times"
    return "" if not theirs or mine == theirs else signed_percent(mine / theirs - 1)


def _as_change(measure: Measure, difference: float) -> str:
    if not measure.of_parent:
        return signed_percent(difference) if difference else "same"
    if measure.name == "greedy_agreement":
        return f"{100 * difference:+.2f} points"
    return f"{difference:+.4f}"
