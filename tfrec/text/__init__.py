"""Strings -> vectors."""
