"""llmos fit --nodes: which layers of a model would lie on which nodes of the cluster."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from llmos.cli.control import open_control
from llmos.cli.output import print_json, print_table, readable_size, stdout
from llmos.core.config import Settings
from llmos.core.errors import NotFound
from llmos.core.hardware import Hardware
from llmos.core.schemas.fit import SplitFitDescription
from llmos.core.suggest import did_you_mean

if TYPE_CHECKING:
    from llmos.deployments.fitting import ModelToFit

ALL = "all"


def fit_on_nodes(model: "ModelToFit", wanted: str, settings: Settings, *, as_json: bool) -> None:
    """Print how the model would be split over these nodes. Exits with 1 if they have no room for it together."""
    from llmos.deployments.split_fitting import fit_split
    from llmos.engine.config import EngineConfig

    found = fit_split(model, EngineConfig.from_options(settings.engine_options), _nodes(wanted, settings))
    if as_json:
        print_json(found)
    else:
        _print(model, found)
    if not found.fits:
        raise typer.Exit(1)


def _nodes(wanted: str, settings: Settings) -> Mapping[str, Hardware]:
    """Return the nodes of these names, or all, with the memory that is free. Raises NotFound."""
    with open_control(settings) as control:
        there = {
            node.name: Hardware(
                cpu=node.cpu,
                features=frozenset(),
                num_cores=node.num_cores,
                memory_bytes=node.memory_bytes,
                available_bytes=node.free_bytes,
            )
            for node in control.nodes.list()
            if node.state == "connected"
        }
    names = [*there] if wanted == ALL else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in there:
            hint = did_you_mean(name, list(there))
            raise NotFound(f"No connected node is {name[:80]}. {hint} See: llmos cluster nodes".replace("  ", " "))
    return {name: there[name] for name in names}


def _print(model: "ModelToFit", found: SplitFitDescription) -> None:
    out, name = stdout(), shlex.quote(model.name)
    if found.fits:
        rows = [
            {
                "node": each.node,
                "layers": f"{each.first}-{each.last}",
                "memory": readable_size(each.bytes),
                "free": readable_size(each.available),
                "time": f"{each.share:.0%}",
            }
            for each in found.stages
        ]
        columns = {"node": "node", "layers": "layers", "memory": "memory", "free": "free", "time": "share of a step"}
        print_table(rows, columns)
        out.print(f"To deploy it: {found.command}")
    else:
        out.print(f"No: these nodes have no room for {found.model} together. Free some memory, or add a node.")
    for node in found.alone:
        out.print(f"The node {node} alone has room for it, which is faster: llmos deploy {name} --on {node}")
