"""What all runs of a home say together: trends, forecasts of scores, the return on money, insights, notes."""
