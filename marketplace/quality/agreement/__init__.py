"""Agreement between workers: reported, never a gate on redundant work."""
