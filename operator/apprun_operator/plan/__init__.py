"""The pure core: it turns observed state and the time into actions, without I/O, clock, randomness
or logging."""
