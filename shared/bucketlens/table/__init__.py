"""What is live: manifest, snapshot, commit, policy, sweep."""
