"""What is asked for, as pure data: from a sweep file to runs with ids, before anything is trained."""
