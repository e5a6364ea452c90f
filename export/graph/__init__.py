"""What happens inside the SavedModel, in operations that stock TensorFlow Serving has."""
