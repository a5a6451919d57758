"""The AppRun operator: observes runs, decides with a pure planner, and acts through a thin
executor."""
