"""Judgements about a set-up or a data set, made before money is spent."""
