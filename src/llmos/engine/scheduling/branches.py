"""Shares the work of scoring several continuations of one prompt. Knows tokens, no model.

    continuations      abde  abc  ax  x

    prompt ─┬─ a ─┬─ b ─┬─ d ── e     one branch computes  prompt a b d  and scores  a x  b x  d c  e
            │     │     └─ c
            │     └─ x
            └─ x

The last token of a continuation is never computed, since nothing is scored behind it. A continuation that has more than
one token behind what other branches compute is a branch of its own, which takes their common beginning from the prefix
cache as far as whole blocks go. The longest go first, so that few branches are needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from llmos.engine.scheduling.scored_tokens import Target

Tokens = list[int]


@dataclass(slots=True)
class Branch:
    """The tokens of one sequence, and what it scores."""

    tokens: Tokens
    targets: list[Target] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Branches:
    """The sequences that score the continuations of a prompt."""

    branches: list[Branch]
    """The first computes the prompt."""
    slots: list[list[int]]
    """The slots of each continuation's tokens. Continuations share those of the tokens with which they both begin."""
    num_slots: int


@dataclass(slots=True)
class _Node:
    """A token of one or several continuations, behind the same tokens."""

    slot: int = -1
    branch: Branch | None = None
    """The one that computes the token. None: no branch does, so far."""
    children: "dict[int, _Node]" = field(default_factory=dict)
    """Token -> its node."""


def plan_branches(prompt: Tokens, continuations: Sequence[Tokens], *, scores_prompt: bool = False) -> Branches:
    """Return the sequences that score each token of the continuations once, and the prompt's from the second on.

    The scores of the prompt's tokens have the first slots. `prompt` is not empty, nor is any continuation.
    """
    num_slots = len(prompt) - 1 if scores_prompt else 0
    targets = [(slot, prompt[slot + 1], slot) for slot in range(num_slots)]
    if not continuations:
        # Nothing is scored behind the last token, but a sequence has at least one.
        return Branches([Branch(prompt[:-1] or prompt, targets)], [], num_slots)
    root = _Node()
    branches: list[Branch] = []
    slots_of: dict[int, list[int]] = {}
    for index in sorted(range(len(continuations)), key=lambda i: len(continuations[i]), reverse=True):
        node, slots, branch = root, [], None
        for position, token in enumerate(continuations[index], len(prompt) - 1):
            child = node.children.get(token)
            if child is None:
                if node.branch is None:
                    if branch is None:
                        branch = Branch(prompt + continuations[index][:-1])
                        branches.append(branch)
                    node.branch = branch
                node.branch.targets.append((position, token, num_slots))
                child = node.children[token] = _Node(num_slots)
                num_slots += 1
            slots.append(child.slot)
            node = child
        slots_of[index] = slots
    branches[0].targets += targets
    return Branches(branches, [slots_of[index] for index in range(len(continuations))], num_slots)
