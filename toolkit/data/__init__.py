"""Datastores and data sets, for control scripts and inside runs.

Standard library only when imported, and Python 3.6 and later, as the in-script side: pandas and fsspec are the
environment's own, and are imported by the call that needs them.
"""
