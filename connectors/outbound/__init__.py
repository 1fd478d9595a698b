"""Targets, one file each; the file name is the connector's type."""
