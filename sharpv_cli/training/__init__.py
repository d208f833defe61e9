"""How the built-in model was trained: `python -m sharpv_cli.training.train`; no command imports it."""
