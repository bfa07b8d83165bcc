"""The life of gold: exposure, doubt, retirement, and candidates for new gold."""
