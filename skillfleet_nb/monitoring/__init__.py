"""After the run: whether a program still does what it did, and which of two does better in use."""
