"""From a fresh clone to an installed program."""
