"""Runs: a job from its acceptance to its one final state."""
