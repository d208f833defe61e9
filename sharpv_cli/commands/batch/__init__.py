"""`sharpv batch`: `command.py` is the file to open first."""
