"""A project's assets as code: what has to be made, in which order, at which pace (interface.md, section 6)."""
