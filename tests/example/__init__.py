"""The example keeps its own promises, alone and together."""
