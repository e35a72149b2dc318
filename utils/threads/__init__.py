"""How a process gets along with others and with its own leavings: threads, garbage, memory."""
