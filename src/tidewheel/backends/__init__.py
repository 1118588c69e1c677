"""One folder per technology, found by entry point; nobody imports a backend by name."""
