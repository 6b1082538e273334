"""One module a command: words and options in, one function called."""
