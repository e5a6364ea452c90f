"""A local server with the interfaces of TensorFlow Serving: `python -m serving --help`."""
