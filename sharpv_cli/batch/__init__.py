"""Many videos, one machine or many: from a manifest to a file with a line for each question."""
