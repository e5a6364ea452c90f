"""What `python -m export.check` runs in a process that can import neither tfrec nor export.

These files import each other relatively and nothing else of this project, so that they show what
a stranger to it finds in a SavedModel.
"""
