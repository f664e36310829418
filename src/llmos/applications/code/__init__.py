"""The application `code`: a model writes Python, its tests run in a sandbox, and what fails is repaired."""

from llmos.applications.code.coding import Attempt, Coder, Solution

__all__ = ["Attempt", "Coder", "Solution"]
