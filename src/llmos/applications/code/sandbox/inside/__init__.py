"""The programs that run in the sandbox. They know Python's standard library only.

    judge    has the tests, and says how they ended; the code never runs there
    worker   has the code; it says nothing but what functions return

Each has a sandbox of its own, and between them is one socket with plain values.
"""
