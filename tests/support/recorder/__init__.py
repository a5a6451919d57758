"""A recorder that is always on in cluster tests and in the soak, so that a standstill can be explained afterwards.

`sampler` reads the cluster into a flat state, `journal` writes what changed to a ring of files, `recorder` is the
thread that does both, and `story` explains standstills from the files. `python -m tests.support.recorder FOLDER`
prints that.
"""
