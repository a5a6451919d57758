"""An app over HTTP: its handler's questions, and runs to start and to look at. On a laptop and in a
cluster.

Nothing here is imported by a driver or a task. It needs the extra `handler` (`pip install
'/path/to/clone[handler]'`).
"""
