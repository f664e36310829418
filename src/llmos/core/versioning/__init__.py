"""The parts that everything with versions has: references, movable aliases with their history, tags and descriptions.

noun.py      a kind of versioned thing (models, datasets) and its tables
columns.py   the columns of those tables
finding.py   the version that a reference names, among a name's versions
aliases.py   movable names for versions
labels.py    tags and descriptions
names.py     the aliases and labels of one noun, for the surfaces that all nouns share

Nouns whose names belong to projects, such as datasets, share these:

project_queries.py   names and versions of a project
project_finding.py   the version that a reference names, in a project
removing.py          removal of versions, whole names and aliases
"""
