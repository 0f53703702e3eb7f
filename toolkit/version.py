"""The version of the toolkit, by itself: also code inside a run, whose `toolkit` is another, can ask for it."""

__version__ = "0.1.0"
