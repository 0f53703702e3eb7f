"""The in-script side: what runs next to the user's training script.

Standard library only, Python 3.6 and later, and nothing from the rest of the toolkit: conda specs pin old
Pythons, and a script's environment is the script's own. `toolkit.inscript.mount` puts a copy of this folder on
the path of every run.
"""
