"""The command line `hf-hyperbolic`: a module a command, listed in `main.COMMANDS`."""
