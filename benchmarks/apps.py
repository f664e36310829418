"""The overhead of the application framework: processor time of a run, and what an import costs, beside two peers.

    python -m venv peers && peers/bin/pip install pydantic-ai-slim langgraph
    python benchmarks/apps.py --peers peers/bin/python [--rounds 5] [--journal]

A run has a model that answers at once and two calls of tools: one answer with both calls, and one with a text. Each
framework is measured in processes of its own, in interleaved rounds; the figures are medians of the rounds. `import`
is the processor time and the resident memory of `import`, less those of the bare interpreter.

With --journal, runs are journalled on a server on SQLite, too, with two steps of a function in place of the model and
its tools. That is two requests: the time is that of the client's process; the server's is beside it. Then turns with a
call of a tool are added to a session of 10 and one of 1,000 turns, in rounds of ten of each: three writes of the
journal and a read of the last ten turns, in processor time of the server's classes without HTTP.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MEASURE = """
import json, resource, sys, time
sys.path.insert(0, SOURCE)
before, bare = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
IMPORTS
imported = time.process_time() - before
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
SETUP
for _ in range(20):
    run()
before = time.process_time()
for _ in range(RUNS):
    run()
cpu = (time.process_time() - before) / RUNS
print(json.dumps({"run_ms": cpu * 1000, "import_s": imported, "memory_mb": memory / 1024, "modules": len(sys.modules)}))
"""

LLMOS = (
    "import llmos.apps",
    """
from llmos.apps import App
from llmos.apps.testing import Call, Script
app = App("shop")

@app.tool
async def order_status(order_id: str) -> str:
    "Where an order is."
    return "shipped"

async def main():
    for _ in range(COUNT):
        with Script([Call("order_status", order_id="A"), Call("order_status", order_id="B")], "Done").plays(app):
            assert (await app.arun("Where?")).text == "Done"

import asyncio
COUNT = 10
run = lambda: asyncio.run(main())
""",
)

LLMOS_BLOCKING = (
    "import llmos.apps",
    """
from llmos.apps import App
from llmos.apps.testing import Call, Script
app = App("shop")

@app.tool
def order_status(order_id: str) -> str:
    "Where an order is."
    return "shipped"

def run():
    for _ in range(10):
        with Script([Call("order_status", order_id="A"), Call("order_status", order_id="B")], "Done").plays(app):
            assert app.run("Where?").text == "Done"
""",
)

PYDANTIC_AI = (
    "import pydantic_ai",
    """
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

def answer(messages, info):
    if len(messages) == 1:
        return ModelResponse(parts=[ToolCallPart("order_status", {"order_id": each}) for each in "AB"])
    return ModelResponse(parts=[TextPart("Done")])

agent = Agent(FunctionModel(answer))

@agent.tool_plain
async def order_status(order_id: str) -> str:
    "Where an order is."
    return "shipped"

async def main():
    for _ in range(10):
        assert (await agent.run("Where?")).output == "Done"

import asyncio
run = lambda: asyncio.run(main())
""",
)

LANGGRAPH = (
    "import langgraph.prebuilt, langchain_core.tools",
    """
import warnings
warnings.simplefilter("ignore")
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.prebuilt import create_react_agent

class Instant(BaseChatModel):
    @property
    def _llm_type(self):
        return "instant"
    def bind_tools(self, tools, **_):
        return self
    def _generate(self, messages, stop=None, run_manager=None, **_):
        message = AIMessage("Done")
        if len(messages) == 1:
            calls = [{"name": "order_status", "args": {"order_id": each}, "id": each} for each in "AB"]
            message = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])

@tool
async def order_status(order_id: str) -> str:
    "Where an order is."
    return "shipped"

agent = create_react_agent(Instant(), [order_status])

async def main():
    for _ in range(10):
        answer = await agent.ainvoke({"messages": [("user", "Where?")]})
        assert answer["messages"][-1].content == "Done"

import asyncio
run = lambda: asyncio.run(main())
""",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="the Python of an environment with the peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--journal", action="store_true", help="measure runs that are journalled on a server, too")
    options = parser.parse_args()
    measured = {"LLMOS": (sys.executable, LLMOS), "LLMOS, blocking, sync tools": (sys.executable, LLMOS_BLOCKING)}
    if options.peers:
        measured |= {"pydantic-ai": (options.peers, PYDANTIC_AI), "LangGraph": (options.peers, LANGGRAPH)}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in measured}
    for _ in range(options.rounds):
        for name, (python, program) in measured.items():
            results[name].append(measure(python, *program))
    print("| | a run, ms of the processor | import, s | memory, MB | modules |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, rounds in results.items():
        row = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        figures = f"{described([each['run_ms'] / 10 for each in rounds])} | {row['import_s']:.2f}"
        print(f"| {name} | {figures} | {row['memory_mb']:.0f} | {row['modules']:.0f} |")
    if options.journal:
        import app_server

        app_server.measure_journal(measure, options.rounds)
        app_server.measure_sessions(options.rounds)


def measure(python: str, imports: str, setup: str) -> dict[str, float]:
    """Return the figures of one process."""
    program = MEASURE.replace("SOURCE", repr(str(ROOT / "src"))).replace("IMPORTS", imports).replace("SETUP", setup)
    program = program.replace("RUNS", "10")
    outcome = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise SystemExit(outcome.stderr)
    figures: dict[str, float] = json.loads(outcome.stdout.splitlines()[-1])
    return figures


def described(figures: list[float]) -> str:
    """Return the median, and the lowest and the highest figure."""
    return f"{statistics.median(figures):.2f} ({min(figures):.2f}–{max(figures):.2f})"


if __name__ == "__main__":
    main()
