"""Figures, not verdicts: each module measures one thing and returns rows for docs/benchmarks.md."""
