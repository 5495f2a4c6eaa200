"""Scorers: numbers for documents or tokens, from their text or from trained models."""
