"""Emulators of targets, one file each, named like the connector whose target they play."""
