"""Sequence encoders and two-tower, as Keras 3 models written with `keras.ops`."""
