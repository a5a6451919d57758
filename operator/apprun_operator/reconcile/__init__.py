"""The loops that take keys from queues, have their objects planned, and carry out the actions."""
