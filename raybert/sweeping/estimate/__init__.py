"""What a sweep will take, from a probe of a few steps per model shape; and what it took."""
