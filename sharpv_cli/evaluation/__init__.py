"""Accuracy measured through the real path, from encoded file to answer."""
