"""What a results folder holds, and who may write into it."""
