"""What the operator knows: records, the informer that brings them, the store, the queue of runs to plan."""
