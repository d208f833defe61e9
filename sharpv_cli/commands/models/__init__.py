"""`sharpv models`: `command.py` is the file to open first."""
