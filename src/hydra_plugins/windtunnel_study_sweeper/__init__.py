"""Hydra sweeper: runs the study that the config states."""
