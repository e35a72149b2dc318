"""How the threads of a process get along with other processes, and Python's collector of garbage with its work."""
