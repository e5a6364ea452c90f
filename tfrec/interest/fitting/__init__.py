"""After training, the encoder stands still: links and calibrators fitted on validation."""
