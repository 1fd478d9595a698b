"""The shared words: commands, inbound and outbound contracts, settings, errors."""
