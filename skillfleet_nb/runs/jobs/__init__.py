"""Jobs: the handle on a run, how far it is, and what a further attempt goes on from."""
