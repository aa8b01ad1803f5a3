"""Drivers: how a command reaches the joints of a robot."""
