"""Attempts in processes of their own, forked from one that has the app imported: what local engine and drivers share.

`executor` is the engine's side, `forker` the process that is forked from, `child` the attempt's own.
"""
