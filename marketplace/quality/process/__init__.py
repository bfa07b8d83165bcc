"""Due process: the brake on mass rejection, verdicts held for a person, and what is public of a requester."""
