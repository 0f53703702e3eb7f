"""Figures of Azure ML SDK v1 names: many runs at once, and what importing them costs in a script."""
