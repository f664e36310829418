"""The cost of a run: the sum of what the server says that its calls of models cost."""

from llmos.apps import App, Limits, ask
from llmos.apps.limits import Consumption
from llmos.apps.results import Run
from llmos.apps.testing import Script
from llmos.client.answers import Usage
from llmos.hosting.results import describe_run


def usage(cost: str | None, currency: str = "EUR") -> Usage:
    return Usage(5, 3, 8, 0, cost, currency if cost else "")


def test_costs_add_up_exactly() -> None:
    consumption = Consumption(Limits(), "run-1")
    for cost in ("0.1", None, "0.2", "0.000000001"):
        consumption.add(usage(cost))
    assert (consumption.usage.cost, consumption.usage.currency) == (300_000_001, "EUR")
    consumption.add(usage("0.5"), num_calls=0)
    assert (consumption.usage.num_calls, consumption.usage.cost) == (4, 800_000_001)


def test_costs_in_several_currencies_have_no_sum() -> None:
    consumption = Consumption(Limits(), "run-1")
    for currency in ("EUR", "USD", "EUR"):
        consumption.add(usage("0.1", currency))
    assert (consumption.usage.cost, consumption.usage.currency) == (None, "")


def test_without_prices_a_run_has_no_cost() -> None:
    async def brain(text: str) -> str:
        return (await ask(text)).text

    app = App("writer", brain=brain)
    with Script("A text").plays(app):
        assert app.run("rain").cost is None


def test_the_handoff_and_the_cost_are_in_the_result_over_http() -> None:
    run = Run(id="run-1", app="support", state="succeeded", handoff="handoff-7", cost=5, currency="EUR")
    described = describe_run(run)
    assert (described.handoff, described.cost, described.currency) == ("handoff-7", 5, "EUR")
