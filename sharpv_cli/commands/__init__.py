"""One file a command: parse, call the pipeline, hand the result to a report."""
