"""A provider for wan, from a package of its own."""
