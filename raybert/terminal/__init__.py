"""Everything that raybert prints, a module a screen. Prints and writes nothing; the only room that imports rich."""
