"""Programs: their states as safe JSON, what changed between two, and the skill planner."""
