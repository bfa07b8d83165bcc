"""Due process: appeals, the brake on mass rejection, public statistics."""
