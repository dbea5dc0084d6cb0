"""Backends: IR to programs."""
