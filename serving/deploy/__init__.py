"""What it takes to run a model in production: see README.md in this folder."""
