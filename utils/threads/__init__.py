"""How the threads of a process get along with other processes."""
