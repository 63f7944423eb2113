"""The engines that are compared: each in a file of its own, all behind ``Peer``."""
