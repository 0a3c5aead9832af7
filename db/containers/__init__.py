"""What the containers run."""
