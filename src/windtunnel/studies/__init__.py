"""Staged sets of jobs and what they conclude: plain Python over records."""
