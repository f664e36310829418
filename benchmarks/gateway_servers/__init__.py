"""The servers of benchmarks/gateway.py, each a process of its own."""
