"""The command line: one module per verb; each parses, then calls the library."""
