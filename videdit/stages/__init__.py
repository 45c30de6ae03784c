"""The chain: one file per stage. A stage knows the rooms below and the artifacts it takes, nothing
of the other stages' code."""
