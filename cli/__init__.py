"""The `kapok` command: start, look after, try out and inspect a marketplace on one machine."""
