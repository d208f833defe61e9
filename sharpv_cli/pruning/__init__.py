"""SharpV itself: tensors in, decisions out. Knows nothing of transformers."""
