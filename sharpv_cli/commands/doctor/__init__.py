"""`sharpv doctor`: `command.py` is the file to open first."""
