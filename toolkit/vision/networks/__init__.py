"""Networks before and after a training, and the directories that they are in."""
