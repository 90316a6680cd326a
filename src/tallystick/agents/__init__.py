"""How those who work meet the ledger: git's hooks and coding agents, one file each."""
