"""Deployments: desired state, reconciliation and autoscaling."""
