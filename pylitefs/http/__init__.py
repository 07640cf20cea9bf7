"""The HTTP API: its server, its client, and what they show."""
