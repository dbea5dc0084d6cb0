"""Frontends: model files to IR."""
