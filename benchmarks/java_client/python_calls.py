"""Make calls with the Python client and print the seconds: python python_calls.py CALLS CONCURRENCY"""

import asyncio
import sys
from time import perf_counter

from llmos import AsyncClient


async def main(calls: int, concurrency: int) -> None:
    async with AsyncClient() as client:
        model = await client.models.get("dialogue")
        left = iter(range(calls))

        async def work() -> None:
            for _ in left:
                await model.generate_text("Hi", max_tokens=2)

        started = perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        print(perf_counter() - started)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
