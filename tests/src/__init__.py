"""A package, so that its test_model.py is not taken for the one of toolkit/model.py."""
