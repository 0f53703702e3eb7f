"""Score Image Model and Evaluate Model: what a trained network makes of images."""
