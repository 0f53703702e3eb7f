"""The group `core`: what a submit, a logged number and an environment cost."""
