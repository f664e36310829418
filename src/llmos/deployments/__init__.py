"""Everything that runs versions: replicas, providers, routes, rollouts, and the desired state of deployments."""
