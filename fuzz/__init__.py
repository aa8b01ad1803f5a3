"""Fuzzing of what reads bytes of others: files, sockets, messages. `python -m fuzz --list` names the targets."""
