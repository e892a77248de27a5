"""The values of the core: no I/O, no clocks, no random numbers."""
