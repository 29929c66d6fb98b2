"""HTML pages made from a checkpoint: `explorer` of its latent space, `graph` of its operations.

Each is a template and its scripts beside a module that inserts the numbers.
"""
