"""Prompts: texts with typed variables, in immutable versions.

    prompts = Prompts(database, store).of("acme")      # those of one project; of() is the installation's own
    version = prompts.create("support", "You help the customers of {{shop}}.")
    prompts.resolve("support:prod")                    # NAME, NAME:ALIAS, NAME@NUMBER, NAME@sha256:DIGEST
    prompts.text(version).fill({"shop": "Acme"})       # see core/prompt_text.py

A version's text and the types of its variables are one blob, encrypted under the key of the project.

Lower layers don't know higher ones:

    descriptions
    comparing | prompts
    queries | versions
    tables
"""
