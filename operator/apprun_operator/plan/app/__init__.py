"""Plans an App: the inspection of its code, and the server of its handler."""
