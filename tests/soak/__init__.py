"""The recipe that hurts: many runs at once, and something dies every few seconds until they are done."""
