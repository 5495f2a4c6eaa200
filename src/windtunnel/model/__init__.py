"""Models: a decoder-only GPT put together from parts, their roles, their parametrisation."""
