"""The figures of the fourth issue: training on images, and the modules around it."""
