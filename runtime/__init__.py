"""Runtime: runs programs."""
