"""Skills: what a worker was measured to be worth at a subject, with its interval, history and signed record."""
