"""Analyses: what can be proven about a module without running it."""
