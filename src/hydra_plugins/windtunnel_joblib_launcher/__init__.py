"""Hydra launcher: joblib hands the jobs out, and each has a process of its own."""
