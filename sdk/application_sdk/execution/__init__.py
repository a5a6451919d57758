"""The route runtime and the execution of one attempt: the same for every engine, no I/O of its own."""
