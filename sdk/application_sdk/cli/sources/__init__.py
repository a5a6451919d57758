"""Sources of runs. Verbs read through the protocol `RunSource`; `cli.selection` chooses the source."""
