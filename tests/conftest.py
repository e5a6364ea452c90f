"""Settings that every test shares."""

from hypothesis import settings

from tfrec.console import quiet_tensorflow

# Shared machines stall now and then; a slow example is no wrong example.
settings.register_profile("tfrec", deadline=None, max_examples=60)
settings.load_profile("tfrec")

quiet_tensorflow()
