"""What every implementation of a port must do, as tests written once.

Subclass a contract in a test module of yours, supply the fixtures that its base
names, and every test in it is yours. It needs pytest, which this package does not
bring. Our own simulations and real adapters are held to these, too.
"""
