"""What the SDK and the operator must agree on: names, field shapes, digests.

Standard library only, no I/O. It is all that the operator may import of the SDK, and the SDK
imports nothing of the operator. Whatever changes here changes a wire format that running clusters
hold: add, never re-mean.
"""
