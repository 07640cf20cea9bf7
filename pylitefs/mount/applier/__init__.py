"""The process that writes other nodes' transactions through the mount, under SQLite's own locks."""
