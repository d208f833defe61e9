"""Tables that people bring (JSON, JSON lines, CSV, Parquet), entry by entry; what is wrong is told with its place."""
