"""ShapesQA: a small synthetic world, its questions, and the built-in model's training."""
