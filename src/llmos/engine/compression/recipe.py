"""Recipes: the scheme by which a model is made from another one, and every option that the result depends on.

The same recipe and the same parent give the same bytes. A recipe therefore contains its defaults, so that it stays
valid when a default changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest

Kind = Literal["quantize", "prune"]
Value = int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """An option that takes a whole number, or any number if `is_share`."""

    low: float
    high: float
    default: float | None
    """None: absent unless given."""
    is_share: bool = False

    def check(self, value: object) -> Value:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise ValueError(self._expected)
        if self.is_share:
            return float(value)
        if value != int(value):
            raise ValueError(self._expected)
        return int(value)

    @property
    def _expected(self) -> str:
        if self.is_share:
            return f"a number from {self.low:g} to {self.high:g}"
        return f"a whole number from {self.low:,.0f} to {self.high:,.0f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An option that takes one of a few values."""

    values: tuple[Value, ...]
    default: Value | None

    def check(self, value: object) -> Value:
        for known in self.values:
            if type(value) is type(known) and value == known:
                return known
        raise ValueError(f"one of {', '.join(map(str, self.values))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDigest:
    """The calibration text: "own" for one that the model generates, or the digest of the user's file."""

    default: str = "own"

    def check(self, value: object) -> Value:
        if isinstance(value, str) and (value == "own" or value.startswith("sha256:")):
            return value
        raise ValueError('"own", or the sha256: digest of a text')


Options = Mapping[str, Number | Choice | TextDigest]

_CALIBRATION: Options = {
    "calibration": TextDigest(),
    "texts": Number(low=1, high=4096, default=32),
    "length": Number(low=16, high=8192, default=256),
    "seed": Number(low=0, high=2**31 - 1, default=0),
}
_SPARSE: Options = {
    "sparsity": Number(low=0.01, high=0.99, default=0.5, is_share=True),
    "pattern": Choice(values=("2:4",), default=None),
}
_GROUP = Number(low=8, high=1 << 16, default=None)

SCHEMES: Mapping[Kind, Mapping[str, Options]] = {
    "quantize": {
        "gptq": {"bits": Number(low=2, high=8, default=4), "group": _GROUP, **_CALIBRATION},
        "awq": {"bits": Number(low=2, high=8, default=4), "group": _GROUP, **_CALIBRATION},
        "minmax": {
            "bits": Number(low=2, high=8, default=8),
            "per": Choice(values=("tensor", "channel", "group"), default=None),
            "group": _GROUP,
        },
        "absmax": {
            "bits": Choice(values=(4, 8), default=8),
            "per": Choice(values=("channel", "group"), default=None),
            "group": _GROUP,
        },
        "q8_0": {},
        "q4_1": {},
        "q4_0": {},
    },
    "prune": {
        "magnitude": _SPARSE,
        "wanda": {**_SPARSE, **_CALIBRATION},
        "structured": {
            "layers": Number(low=1, high=1024, default=None),
            "ffn_share": Number(low=0.001, high=0.999, default=None, is_share=True),
            "kv_heads": Number(low=1, high=1024, default=None),
            **_CALIBRATION,
        },
    },
}
"""The options of each scheme."""

SIZES: Mapping[str, str] = {"bits": "", "group": "-g", "per": "-"}
"""The options that appear in a label, and the prefix of each."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A checked recipe; create it by Recipe.of()."""

    kind: Kind
    scheme: str
    options: Mapping[str, Value]

    @classmethod
    def of(cls, kind: Kind, scheme: str, options: Mapping[str, Any]) -> "Recipe":
        """Return the recipe with its defaults filled in. Options that are None count as not given.

        Raises BadRequest for an unknown scheme or option, naming the nearest one, and for a wrong value.
        """
        known = SCHEMES[kind]
        if scheme not in known:
            raise BadRequest(f"There is no scheme {scheme!r} to {kind} with. {_hint(scheme, known)}", param="scheme")
        given = {name: value for name, value in options.items() if value is not None}
        if others := [name for name in given if name not in known[scheme]]:
            raise BadRequest(
                f"{scheme} has no option {others[0]!r}. {_hint(others[0], known[scheme])}", param=others[0]
            )
        checked: dict[str, Value] = {}
        for name, option in known[scheme].items():
            value = given.get(name, option.default)
            if value is None:
                continue
            try:
                checked[name] = option.check(value)
            except ValueError as expected:
                raise BadRequest(f"{name} is {value!r:.80}; {scheme} takes {expected}.", param=name) from None
        if kind == "prune":
            _check_pruning(scheme, checked)
        return cls(kind, scheme, checked)

    def canonical(self) -> dict[str, Any]:
        """Return the recipe as JSON data, equal for equal recipes."""
        return {"kind": self.kind, "scheme": self.scheme, "options": dict(sorted(self.options.items()))}

    def label(self) -> str:
        """Return the suffix of the made model's name: "gptq4", "minmax3-g64", "wanda50"."""
        if self.kind == "prune":
            return _pruned_label(self.scheme, self.options)
        return self.scheme + "".join(
            f"{prefix}{self.options[name]}" for name, prefix in SIZES.items() if name in self.options
        )


def _check_pruning(scheme: str, options: Mapping[str, Value]) -> None:
    if scheme == "structured" and not {"layers", "ffn_share", "kv_heads"} & set(options):
        raise BadRequest(
            "structured prunes whole parts: say how many with --layers N, --ffn-share SHARE or --kv-heads N.",
            param="scheme",
        )
    if "pattern" in options and options["sparsity"] != 0.5:
        raise BadRequest(
            f"The pattern {options['pattern']} is a sparsity of 0.5. Leave --sparsity or --pattern out.",
            param="sparsity",
        )


def _pruned_label(scheme: str, options: Mapping[str, Value]) -> str:
    """Return "wanda50", "wanda2of4", or "layers4-ffn20-kv1"."""
    if scheme != "structured":
        return scheme + ("2of4" if "pattern" in options else f"{100 * float(options['sparsity']):g}")
    parts = {name: options.get(name) for name in ("layers", "ffn_share", "kv_heads")}
    texts = {"layers": "layers{}", "ffn_share": "ffn{}", "kv_heads": "kv{}"}
    return "-".join(
        texts[name].format(f"{100 * value:g}" if isinstance(value, float) else value)
        for name, value in parts.items()
        if value is not None
    )


def _hint(name: str, known: Mapping[str, Any]) -> str:
    if close := nearest(name, known, limit=1):
        return f"Did you mean {close[0]}?"
    return f"Available: {', '.join(known)}." if known else "It takes none."
