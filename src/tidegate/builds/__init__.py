"""Builds: which files a component is made of, and artifacts made of them, once, at the place where they will run.

Never reads a manifest, never decides what is released, never starts what it built.
"""
