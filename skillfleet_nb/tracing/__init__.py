"""Programs in use and runs, call by call: traces, their trees, and where they go."""
