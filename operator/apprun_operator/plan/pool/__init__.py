"""Pools of warm pods: which pod executes a call, what inboxes contain, how many pods exist."""
