"""Hydra launcher: submitit hands the jobs to SLURM, or to this machine."""
