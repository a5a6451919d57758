"""What the operator knows of the cluster: records, the informers and kopf that bring them, and the
cache."""
