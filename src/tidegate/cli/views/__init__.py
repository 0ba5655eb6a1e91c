"""What people see: plain functions from values to Rich renderables.

Never calls anything that changes or looks; never writes by itself, progress excepted.
"""
