"""Descriptions of operators and forecasts, as the API and the CLI return them."""

import inspect

from llmos.core.documented_fields import documented_fields
from llmos.core.schemas.dataset_cleaning import (
    ForecastDescription,
    LeftOutDescription,
    LeftOutRow,
    OperatorDescription,
)
from llmos.data.datasets.versions import DatasetVersion
from llmos.data.operators.cleaning import Forecast
from llmos.data.operators.kinds import kinds, load_kind
from llmos.data.operators.recipe import Recipe


def describe_operators() -> list[OperatorDescription]:
    """Describe every kind of operator, by name."""
    return [_operator(name) for name in kinds()]


def describe_forecast(version: DatasetVersion, recipe: Recipe, forecast: Forecast) -> ForecastDescription:
    return ForecastDescription(
        version=version.ref,
        num_rows=forecast.num_rows,
        num_kept=forecast.num_kept,
        num_changed=forecast.num_changed,
        left_out=[
            LeftOutDescription(
                operator=operator,
                reason=reason,
                num_rows=count,
                examples=[
                    LeftOutRow(id=each.id, text=each.text, detail=each.detail)
                    for each in forecast.examples[operator, reason]
                ],
            )
            for (operator, reason), count in forecast.dropped.most_common()
        ],
        recipe=recipe.as_json,
    )


def _operator(name: str) -> OperatorDescription:
    kind = load_kind(name)
    text = inspect.getdoc(kind) or ""
    return OperatorDescription(
        name=name,
        version=kind.VERSION,
        description=text.partition("\n\n")[0].replace("\n", " "),
        options=documented_fields(kind.Options),
    )
