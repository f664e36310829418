"""The replicas of this machine: processes, pools, health."""
