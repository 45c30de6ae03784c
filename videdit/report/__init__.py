"""`videdit report`: the last run of a source as one HTML page. It reads and measures, and changes
nothing."""
