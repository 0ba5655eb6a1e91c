"""What exists in a cluster for an environment, as plain JSON: the same functions for `up` and for `render`.

Pure: never asks the API server, never holds the value of a secret (but in `secret_object`), never decides when
something is made.
"""
