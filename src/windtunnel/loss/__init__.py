"""Losses: what training minimises, from hidden states, a head and targets."""
