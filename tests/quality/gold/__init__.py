"""The life of gold."""
