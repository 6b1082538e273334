"""The command line: options in, one function called, streams and an exit code out."""
