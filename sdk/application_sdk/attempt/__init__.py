"""Executes one attempt of a task: its context, heartbeats, progress, files, state and threads."""
