"""A model's process that computes nothing: its steps take no time. Every prompt gets the same answer of 16 tokens.

It speaks the real frames over the real socket, one frame for each step with a token for every request that runs, so
that the gateway does everything that it does for a real engine.
"""

import argparse
import socket

from llmos.engine.messages import (
    Abort,
    Command,
    Delta,
    Event,
    Frame,
    Generate,
    LoadModel,
    Ping,
    Pong,
    Ready,
    Shutdown,
    Started,
)
from llmos.engine.replica.framing import FrameReader, FrameWriter

NUM_PROMPT_TOKENS, NUM_TOKENS = 40, 16

READY = Ready(
    family="llama", context_length=8192, vocab_size=64, has_template=True, num_blocks=64, weight_bytes=1, kv_bytes=1,
    load_seconds=0.0, isa="none", threads=1,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    commands: FrameReader[Command] = FrameReader(Command)
    running: dict[str, int] = {}
    """The requests that run, and how many tokens each has got."""
    pack = FrameWriter().pack
    with socket.socket(fileno=parser.parse_args().fd) as connection:
        while data := _receive(connection, waits=not running):
            events: list[Event] = []
            for command in commands.feed(b"" if data is NOTHING else data):
                match command:
                    case LoadModel():
                        events.append(READY)
                    case Ping():
                        events.append(Pong(None))
                    case Generate():
                        running[command.id] = 0
                        events.append(Started(command.id, NUM_PROMPT_TOKENS))
                    case Abort():
                        running.pop(command.id, None)
                    case Shutdown():
                        return
            events += step(running)
            connection.sendall(pack(Frame(events)))


NOTHING = b"-"


def _receive(connection: socket.socket, *, waits: bool) -> bytes:
    """Return what has arrived; NOTHING where nothing has, unless it waits; b"" at the end."""
    try:
        return connection.recv(1 << 18, 0 if waits else socket.MSG_DONTWAIT)
    except BlockingIOError:
        return NOTHING


def step(running: dict[str, int]) -> list[Event]:
    """Return the next token of every request that runs, as an engine's step does."""
    events: list[Event] = []
    for id, number in [*running.items()]:
        running[id] = number = number + 1
        is_last = number == NUM_TOKENS
        if is_last:
            del running[id]
        events.append(
            Delta(
                id=id,
                text="word ",
                token_ids=[number],
                num_output_tokens=number,
                finish_reason="stop" if is_last else None,
            )
        )
    return events


if __name__ == "__main__":
    main()
