"""Who may ask, for what, and how much: each line of defence is a module."""
