"""How a command is run and seen."""
