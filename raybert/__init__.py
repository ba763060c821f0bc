"""raybert: which training examples are worth training on, and which selection strategy finds them?"""
