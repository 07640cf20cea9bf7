"""What a lesson may say: its commands, their grammar, and its prose. Knows nothing else of the lecture."""
