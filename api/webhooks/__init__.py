"""Where payment providers send their notices: verify, put into the inbox, answer 202; a job does the rest."""
