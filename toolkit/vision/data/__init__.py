"""Images: files, ImageDirectories, and what is done to them before a training."""
