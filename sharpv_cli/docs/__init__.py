"""Writers of the reference pages in docs/, each run with `python -m sharpv_cli.docs.NAME`; no command imports them."""
