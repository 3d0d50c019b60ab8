"""From what became of the jobs to files, reports and the comment."""
