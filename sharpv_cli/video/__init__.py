"""Probing, sampling, decoding and encoding video files with PyAV."""
