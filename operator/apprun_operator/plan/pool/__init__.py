"""Pools of warm pods: which call goes where, what each pod is told, and how many pods there are."""
