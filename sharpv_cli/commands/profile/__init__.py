"""`sharpv profile`: `command.py` is the file to open first."""
