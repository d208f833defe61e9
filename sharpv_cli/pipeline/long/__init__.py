"""Clips of more frames than are encoded together: they come, and are encoded, a chunk at a time."""
