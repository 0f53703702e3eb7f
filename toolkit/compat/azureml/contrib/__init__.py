"""Previews of Azure ML SDK v1: the toolkit has none of them, and says of each what to use instead."""

import os

from toolkit.inscript.real_sdk import beside

__path__ = beside(os.path.dirname(os.path.abspath(__file__)))
