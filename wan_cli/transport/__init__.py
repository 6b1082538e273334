"""From an adapter's requests to sockets and back: clients, bodies, retry classes, redaction."""
