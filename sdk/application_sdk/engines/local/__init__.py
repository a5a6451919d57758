"""The engine for one machine: the ledger in SQLite, each attempt in a process of its own or in this
one.

The CLI and `main` use it; it imports neither, and no other engine.
"""
