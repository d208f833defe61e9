"""JSON-lines files that runs append to and go on with: locked, never torn, never lost; or a pipe that takes them."""
