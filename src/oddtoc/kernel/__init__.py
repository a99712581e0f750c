"""What is special about a Linux kernel in a guest: its memory, ftrace records, room for new code."""
