"""What shows a lecture: the page and its server, the terminal, the replay, the handout."""
