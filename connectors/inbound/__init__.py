"""Senders, one file each; the file name is the adapter's type."""
