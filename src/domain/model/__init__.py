"""What the service speaks of: values without I/O, clocks or random numbers."""
