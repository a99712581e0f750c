"""The commands: arguments in, words out, no logic."""
