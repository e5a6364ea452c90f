"""Questions to a served model from the shell: `python -m serving.query --help`."""
