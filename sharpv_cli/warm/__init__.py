"""The resident process: it stays after an answer, with its model loaded, and runs the next commands of its user.

`client` is what every `sharpv ask` begins with and imports nothing heavy; `server` is the process.
"""
