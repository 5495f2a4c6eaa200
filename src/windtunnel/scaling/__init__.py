"""Scaling laws: fitting them to runs, and predicting runs not yet made. numpy and scipy only."""
