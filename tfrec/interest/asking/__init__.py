"""One user of a trained run asked by name: what `python -m tfrec.explain` answers."""
