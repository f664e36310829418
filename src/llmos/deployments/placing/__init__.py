"""Where the processes of replicas run, and how they are reached: on this machine, or on nodes of a cluster."""
