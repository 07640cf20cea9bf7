"""Client libraries of many languages on a primary and a replica: docs/clients.md is made from these runs."""
