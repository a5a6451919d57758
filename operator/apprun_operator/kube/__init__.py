"""A small asynchronous Kubernetes client: JSON in, JSON out, errors by meaning. Knows nothing of runs."""
