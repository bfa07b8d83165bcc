"""Consensus of shapes on images: which objects there are, what each looks like, and how sure that is.

Answers are sets of shapes. Shapes that mark one object are grouped (matching_shapes.group); whether the object is there
is a latent class with two error rates a worker (existence); its geometry is the weighted middle of the shapes (middle).
"""
