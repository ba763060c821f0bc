"""Tables, statistics and plots of a finished sweep."""
