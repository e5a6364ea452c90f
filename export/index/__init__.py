"""Approximate search for recommendations: made at export, measured, and saved with the graphs."""
