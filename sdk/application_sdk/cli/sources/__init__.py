"""Where runs are: this machine, or a cluster. Verbs read through one port, `port.Place`; `choosing` decides which."""
