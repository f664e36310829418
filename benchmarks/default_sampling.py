"""Choose the sampling that the catalog recommends for a small model: simple facts it gets right, stories that loop.

    python benchmarks/default_sampling.py [--model smollm2] [--penalties 1.0 1.05 1.1] [--seeds 3] [--wrong]

Both with the temperature and top_p of the catalog. A fact is right if the answer has one of its words. A story loops if
a sequence of eight words is in it three times. docs/models.md has the table that it printed for the shipped catalog.
"""

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from llmos.core.config import load_settings
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.loading import load_engine
from llmos.engine.messages import Delta, Failed, Generate, SamplingParams
from llmos.models import open_registry

FACTS = """
Which animal says meow?|cat,kitten
Which animal says woof?|dog,puppy
Which animal says moo?|cow
Which animal gives us milk?|cow,goat
Which animal gives us wool?|sheep
Which animal has a trunk?|elephant
Which animal has a very long neck?|giraffe
Which insect makes honey?|bee
What do bees make?|honey
What do cows drink?|water
How many legs does a spider have?|8,eight
How many legs does a dog have?|4,four
How many legs does an insect have?|6,six
How many wheels does a bicycle have?|2,two
How many wheels does a car have?|4,four
How many days are in a week?|7,seven
How many months are in a year?|12,twelve
How many hours are in a day?|24
How many minutes are in an hour?|60,sixty
How many seconds are in a minute?|60,sixty
How many letters are in the English alphabet?|26
How many sides does a triangle have?|3,three
How many sides does a square have?|4,four
How many fingers are on one hand?|5,five
How many cents are in a dollar?|100,hundred
How many continents are there?|7,seven
How many players are in a soccer team?|11,eleven
What is 2 + 2?|4,four
What is 1 + 1?|2,two
What is 3 + 4?|7,seven
What is 5 + 5?|10,ten
What is 10 - 3?|7,seven
What is 2 times 3?|6,six
What is 5 times 5?|25
What is 10 divided by 2?|5,five
What is 100 + 1?|101
What number comes after 9?|10,ten
What is half of 10?|5,five
What is the capital of France?|paris
What is the capital of Germany?|berlin
What is the capital of Italy?|rome
What is the capital of Spain?|madrid
What is the capital of Japan?|tokyo
What is the capital of China?|beijing
What is the capital of England?|london
What is the capital of Russia?|moscow
What is the capital of Egypt?|cairo
What is the capital of the United States?|washington
What is the capital of Canada?|ottawa
What is the capital of Australia?|canberra
What is the capital of Greece?|athens
What is the capital of India?|delhi
In which country is the Eiffel Tower?|france
In which country are the pyramids of Giza?|egypt
In which country is the Great Wall?|china
In which city is the Colosseum?|rome
On which continent is Brazil?|south america
On which continent is Kenya?|africa
On which continent is France?|europe
What is the largest ocean?|pacific
What is the longest river in Africa?|nile
What is the highest mountain in the world?|everest
Which country has the largest population?|china,india
What language is spoken in Brazil?|portuguese
What language is spoken in Germany?|german
What is the currency of Japan?|yen
What is the currency of the United States?|dollar
What is the chemical symbol of water?|h2o,h₂o
What is the chemical symbol of gold?|au
What is the chemical symbol of oxygen?|o,o2
What gas do we breathe in to live?|oxygen
What gas do plants take in?|carbon dioxide,co2
At how many degrees Celsius does water boil?|100
At how many degrees Celsius does water freeze?|0,zero
What is frozen water called?|ice
What is the star at the center of our solar system?|sun
Which planet do we live on?|earth
Which planet is called the red planet?|mars
Which is the largest planet of our solar system?|jupiter
Which planet has rings?|saturn
What goes around the Earth?|moon,satellite
What force keeps us on the ground?|gravity
What pumps blood through the body?|heart
Which organ do we think with?|brain
Which organ do we breathe with?|lung
What do we see with?|eye
What do we hear with?|ear
What is the opposite of hot?|cold
What is the opposite of big?|small,little,tiny
What is the opposite of day?|night
What is the opposite of happy?|sad,unhappy
What is the opposite of up?|down
What color is the sky on a clear day?|blue
What color is grass?|green
What color is a banana?|yellow
What color is blood?|red
What color is snow?|white
What color do you get if you mix blue and yellow?|green
What is a baby dog called?|puppy,pup
What is a baby cat called?|kitten
What is the plural of mouse?|mice
What is the plural of child?|children
What is the past tense of go?|went
Which month comes after March?|april
Which day comes after Monday?|tuesday
Which season comes after winter?|spring
In which month is Christmas?|december
Who wrote Romeo and Juliet?|shakespeare
Who painted the Mona Lisa?|leonardo,da vinci
Who was the first president of the United States?|washington
Who developed the theory of relativity?|einstein
Who discovered gravity when an apple fell?|newton
In which year did World War II end?|1945
In which year did humans first walk on the moon?|1969
What do you call a person who flies a plane?|pilot
What do you call a person who teaches?|teacher,educator,instructor
What do you use to cut paper?|scissors
What do you use to write on a blackboard?|chalk
What fruit does an apple tree grow?|apple
What is bread made from?|flour,wheat
What is the fastest land animal?|cheetah
What is the largest animal in the world?|whale
"""

STORIES = [
    f"Write a {kind} about {subject}."
    for subject in ("a lost dog", "the sea", "two friends", "an old lighthouse", "a robot", "a small village")
    for kind in ("story", "long story for children", "letter", "diary entry")
]

_FACT_TOKENS, _STORY_TOKENS = 48, 512
_LOOP_WORDS, _LOOP_COUNT = 8, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--penalties", type=float, nargs="+", default=[1.0, 1.05, 1.1])
    parser.add_argument("--seeds", type=int, default=3, help="how often every question is asked")
    parser.add_argument("--also", metavar="NAME=VALUE", action="append", default=[], help="another sampling parameter")
    parser.add_argument("--wrong", action="store_true", help="print the wrong answers too")
    args = parser.parse_args()
    facts = [line.split("|") for line in FACTS.strip().splitlines()]

    registry = open_registry(load_settings())
    version = registry.resolve(args.model)
    engine, _ = load_engine(registry.files(version), EngineConfig(max_sequences=32))
    table = Table(title=f"{version.ref}: {len(facts)} facts and {len(STORIES)} stories, each {args.seeds} times")
    for column in ("repetition_penalty", "facts right", "stories that loop", "stories that end by themselves"):
        table.add_column(column, justify="right")
    for penalty in args.penalties:
        sampling = {**version.sampling, "repetition_penalty": penalty}
        sampling |= {name: float(value) for name, value in (each.split("=") for each in args.also)}
        right = loops = ended = 0
        for seed in range(args.seeds):
            answers = answer(engine, (question for question, _ in facts), sampling, seed, _FACT_TOKENS)
            for (question, words), (text, _) in zip(facts, answers, strict=True):
                is_right = any(re.search(rf"\b{re.escape(word)}(s|es)?\b", text, re.I) for word in words.split(","))
                right += is_right
                if args.wrong and not is_right:
                    print(f"{penalty} {question} -> {text!r}")
            for text, reason in answer(engine, STORIES, sampling, seed, _STORY_TOKENS):
                loops += is_loop(text)
                ended += reason == "stop"
        num_facts, num_stories = len(facts) * args.seeds, len(STORIES) * args.seeds
        row = (str(penalty), share(right, num_facts), share(loops, num_stories), share(ended, num_stories))
        table.add_row(*row)
        print(*row, sep=" | ", file=sys.stderr, flush=True)
    Console().print(table)


def answer(
    engine: Engine, prompts: Iterable[str], sampling: dict[str, float], seed: int, max_tokens: int
) -> list[tuple[str, str | None]]:
    """Return the text and the finish reason of each answer."""
    texts: dict[str, list[str]] = defaultdict(list)
    reasons: dict[str, str | None] = {}
    for index, prompt in enumerate(prompts):
        given = {**sampling, "max_tokens": max_tokens, "seed": seed * 1000 + index}
        params = SamplingParams(**given)  # type: ignore[arg-type]
        engine.submit(Generate(id=f"{index:04}", user_text=prompt, sampling=params))
        reasons[f"{index:04}"] = None
    while engine.has_work:
        for event in engine.step():
            if isinstance(event, Failed):
                raise RuntimeError(event.message)
            if isinstance(event, Delta):
                texts[event.id].append(event.text)
                reasons[event.id] = event.finish_reason or reasons[event.id]
    return [("".join(texts[each]), reasons[each]) for each in sorted(reasons)]


def is_loop(text: str) -> bool:
    words = text.lower().split()
    runs = Counter(tuple(words[start : start + _LOOP_WORDS]) for start in range(len(words) - _LOOP_WORDS + 1))
    return max(runs.values(), default=0) >= _LOOP_COUNT


def share(count: int, total: int) -> str:
    return f"{count} of {total} ({100 * count / total:.0f} %)"


if __name__ == "__main__":
    main()
