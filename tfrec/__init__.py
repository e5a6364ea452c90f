"""tfrec: interaction logs and item texts in, one recommender out.

Importing this package imports nothing heavy; TensorFlow is loaded when work starts.
"""

__version__ = "0.1.0"
