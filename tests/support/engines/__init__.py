"""The same small programs on every engine: `programs` are run, `catalog` says what each must come to.

`observed` is what is compared; `memory`, `local`, `simulated` and `real` are the engines behind one protocol.
"""
