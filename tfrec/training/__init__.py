"""The training loop, the losses and the checkpoints."""
