"""Why evidence can be trusted: trees, maps, notes, checkpoints and their proofs, without any I/O."""
