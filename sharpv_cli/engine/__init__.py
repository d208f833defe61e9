"""Prefill, KV cache with per-layer eviction, decoding."""
