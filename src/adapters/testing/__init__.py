"""For the tests of ports: adapters in memory, and a contract suite for each."""
