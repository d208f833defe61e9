"""`sharpv ask`: `command.py` is the file to open first."""
