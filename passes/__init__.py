"""Passes: IR to IR."""
