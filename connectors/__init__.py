"""One file per outside system: how it speaks to us (inbound), how we speak to it (outbound), and its emulator (sandbox)."""
