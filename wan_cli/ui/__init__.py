"""What a user sees: streams, progress, messages, tables and JSON documents."""
