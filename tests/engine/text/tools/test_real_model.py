"""A real model that was not trained on tool calls: at a high temperature it still makes valid calls."""

import json

import jsonschema

from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.messages import Generate, SamplingParams, Tools
from support.fakes import run

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}
CLOCK = {"name": "clock", "parameters": {"type": "object", "properties": {}}}


def test_required_calls_are_made_and_match_the_schema(smollm2_path):
    engine, _ = load_engine({"model.gguf": smollm2_path}, EngineConfig(threads=1))
    requests = [
        Generate(
            id=f"{i}",
            messages=[{"role": "user", "content": "Sing me a song."}],
            tools=tools,
            sampling=SamplingParams(temperature=1.5, seed=7, n=4, max_tokens=120),
        )
        for i, tools in enumerate(
            [
                Tools(functions=[WEATHER, CLOCK], choice="required", is_parallel=False),
                Tools(functions=[WEATHER, CLOCK], choice="named", name="get_weather"),
            ]
        )
    ]
    told = run(engine, *requests)
    assert len(told) == 8
    for (request, _), deltas in told.items():
        assert "".join(delta.text for delta in deltas) == ""
        pieces = [call for delta in deltas for call in delta.tool_calls]
        assert {call.index for call in pieces} == {0}
        assert pieces[0].name in (["get_weather"] if request == "1" else ["get_weather", "clock"])
        assert deltas[-1].finish_reason == "tool_calls"
        schema = WEATHER["parameters"] if pieces[0].name == "get_weather" else CLOCK["parameters"]
        jsonschema.validate(json.loads("".join(call.arguments for call in pieces)), schema)
