"""From frames to answers: means and intervals, paired differences, equal cost, overlap. Arrays and frames only."""
