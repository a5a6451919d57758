"""Attempts in processes of their own, forked from one that has the app imported. Local engine and
drivers share them.

`executor` is the engine's side, `fork_server` the process that attempts are forked from, and
`attempt_process` an attempt's own.
"""
