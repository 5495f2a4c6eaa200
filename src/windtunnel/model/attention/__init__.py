"""Attention: ways for a token to read from the tokens before it."""
