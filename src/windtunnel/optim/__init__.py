"""Optimisers by role, learning-rate schedules, weight averaging."""
