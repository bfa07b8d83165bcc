"""Who cheats: spammers, copiers, and bots that repeat a pattern, each with a stated rate of false alarms. Pure."""
