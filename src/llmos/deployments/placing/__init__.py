"""Starting the processes of replicas, and connecting to them: on this machine, or on nodes of a cluster."""
