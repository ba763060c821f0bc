"""Results folders in object stores: a working folder on this machine, published part by part, marks last."""
