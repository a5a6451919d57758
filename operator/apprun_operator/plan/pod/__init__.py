"""Pods as data: the same template, secrets, storage and accounts for drivers, tasks and
handlers."""
