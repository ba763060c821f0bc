"""Language models compared: how surprised each is by each corpus, and what it fills in."""
