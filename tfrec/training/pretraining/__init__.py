"""Pre-training of text encoders: what each objective puts into the training loop."""
