"""Typed readers and writers of what stages leave in the cache, all that stages share."""
