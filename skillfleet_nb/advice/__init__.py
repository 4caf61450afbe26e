"""Advice before money is spent: what a run will cost, and which optimizer to choose."""
