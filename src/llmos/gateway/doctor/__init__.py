"""Checks of the machine and the installation, as `llmos doctor` and the server run them.

A check is a function that yields Findings. It loads what it needs only when it runs: the command must start fast.
"""
