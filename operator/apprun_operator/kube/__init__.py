"""A small asynchronous Kubernetes client:

JSON in, JSON out, errors by meaning. It knows nothing of runs.
"""
