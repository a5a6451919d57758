"""The pure core: from what is observed, and the time, to actions. No I/O, no clock, no chance, no logging."""
