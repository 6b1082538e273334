"""``wan render`` and ``wan keep``: manifest, lock and disk on one side, providers and a person on the other."""
