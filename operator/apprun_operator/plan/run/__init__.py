"""Plans a run: its driver, its task calls, its checkpoints and its end."""
