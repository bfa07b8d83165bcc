"""Models as workers: an enterprise's model labels its tasks as one more annotator, with its own measured quality.

It is reached by Label Studio's ML-backend protocol, so that existing backends work. It is never paid and never alone:
a task has a consensus only once people have answered it, and only people's answers count towards its overlap.
"""
