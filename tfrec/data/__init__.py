"""Raw logs -> validated events and catalogue -> splits -> batches."""
