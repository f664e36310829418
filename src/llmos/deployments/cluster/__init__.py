"""Nodes: other machines that run replicas for this server. The head is the server that they joined.

head.py         at the server: one port, for nodes that join, report, bring a replica or ask for a file
agent.py        on a node: starts workers, fetches what they load, reports how they end
messages.py     what they say to each other, as frames (link.py) over TLS with certificates of the cluster's own
                authority (authority.py)
"""
