"""What callers hand in and get back: checks, memory, containers, results. NumPy only."""
