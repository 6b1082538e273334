"""Where a file comes from: looked up, shown (``wan inspect``), and repeated (``--like``)."""
