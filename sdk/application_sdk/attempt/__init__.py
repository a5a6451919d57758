"""Executes one attempt of a task: its context, heartbeats, progress, files and state."""
