"""`sharpv eval`: `command.py` is the file to open first."""
