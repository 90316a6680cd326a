"""How evidence travels: the formats that sessions are imported from and exported to. One file each."""
