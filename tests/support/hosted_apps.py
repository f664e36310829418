"""Applications that tests deploy."""

from pathlib import Path

ECHO = """
import asyncio
import os
import time

from llmos.apps import App, EffectKey, ask


async def brain(text, before, *, shop: str = "Acme"):
    print("asked", text, flush=True)
    word, _, rest = text.partition(" ")
    if word == "die":
        os.kill(os.getpid(), 9)
    if word == "raise":
        raise ValueError(rest)
    if word == "see":
        try:
            return ",".join(sorted(os.listdir(rest)))
        except OSError as error:
            return f"{type(error).__name__}"
    if word == "environment":
        return ",".join(sorted(os.environ))
    if word == "before":
        return f"{[each['content'] for each in before]} in {shop}"
    if word == "wait":
        return f"decided: {app.wait_for('approval', order=rest)}"
    if word == "crash-once":
        return await crash(rest)
    if word == "eat":
        return str(len(bytearray(int(rest) << 20)))
    if word == "ask":
        model, _, question = rest.partition(" ")
        return (await ask(question, model=model)).text
    if word == "hold":
        while not os.path.exists(rest):
            await asyncio.sleep(0.02)
    return f"VERSION heard {text}"


app = App.from_folder(__file__, brain=brain, lease_seconds=4)


@app.step(effect=True)
def note(path: str, *, key: EffectKey) -> str:
    with open(path, "a") as file:
        file.write(key + "\\n")
    return "noted"


async def crash(path: str) -> str:
    await note.awaited(f"{path}/notes")
    if not os.path.exists(f"{path}/crashed"):
        open(f"{path}/crashed", "w").close()
        os.kill(os.getpid(), 9)
    return "survived"
"""


def write_echo(folder: Path, version: str = "v1", *, name: str = "echo", manifest: str = "") -> Path:
    """Write an application that does what its input says, without a model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.yaml").write_text(f"name: {name}\nmodel: smollm2\n{manifest}")
    (folder / "app.py").write_text(ECHO.replace("VERSION", version))
    return folder
