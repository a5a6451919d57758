"""How the command line shows runs: as tables, trees, sentences and JSON."""
