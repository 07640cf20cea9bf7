"""Who is the primary."""
