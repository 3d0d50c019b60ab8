"""The host of a change: GitHub's pull requests and GitLab's merge requests, and the one comment that we keep there."""
