"""Leader election: one replica of the operator acts at a time, and a replica that lost its Lease
can't write."""
