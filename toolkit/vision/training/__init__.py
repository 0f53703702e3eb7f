"""Train PyTorch Model: from decoded images to the weights of the best epoch."""
