"""Formats taken apart, field by field: every byte of a file with its meaning."""
