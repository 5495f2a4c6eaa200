"""What a job does besides training."""
