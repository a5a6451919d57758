"""How the images are made on a machine without Docker: ``pause``, the Debian base, and the project's own Dockerfile.

Every image ends as a docker-archive tar in the cache, under a hash of what went into it: an unchanged tree costs
nothing.
"""
