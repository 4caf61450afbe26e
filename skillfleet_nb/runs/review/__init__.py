"""A person in the loop: questions of a run, and what their answers mean."""
