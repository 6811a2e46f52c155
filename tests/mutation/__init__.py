"""Mutants of the runtime, each against the tests of its module: what no test notices is not tested."""
