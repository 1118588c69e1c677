"""Jobs in this process, one after the other: for debugging, and where starting a process costs more than the work."""
