"""Whoever drives the package: the plan's client, the command line."""
