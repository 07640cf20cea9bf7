"""From what nodes tell to entries and dumps. No module here knows a live node."""
