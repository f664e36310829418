"""Replicas on the nodes of a Ray cluster: Ray chooses the node and counts its CPUs and memory, our agent runs there.

    server                          driver (a process)           a Ray node
    RayPlacer ── RequestLease ────▶ one actor for each lease ──▶ LeaseHolder: starts the agent of the node, once
              ◀─ LeaseGranted ─────                               agent: joins the head, and runs workers as any node

Tokens never pass through Ray. The agent isn't a child of the actor: replicas go on when Ray is gone.
"""
