"""A queue that several machines share: ``wan render --queue`` lines tasks up, ``wan worker`` makes them."""
