"""Many edits of many sources: what a file of jobs asks for, and processes that do it."""
