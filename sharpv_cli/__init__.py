"""Ask questions of video with a VideoLLM pruned by SharpV (arXiv 2511.08003)."""

__version__ = "0.1.0"
