"""What is special about a process: the objects that are loaded in it, room for code, threads and their stacks."""
