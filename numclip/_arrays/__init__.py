"""Arguments and results: checks, memory, containers, new arrays. NumPy only."""
