"""Tidegate: environments, releases and promotion for companies that outgrew one environment and one team."""

__version__ = "0.1.0"
