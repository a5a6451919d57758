"""One call of a run: what its pod shows, whether its attempt has ended, and what follows. Pure."""
