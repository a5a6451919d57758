"""Executes a route and replays it: identity, event loop, guard, and the rules that a ledger must meet."""
