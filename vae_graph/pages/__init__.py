"""HTML pages made from a checkpoint: `explorer` of its latent space, `graph` of its operations.

Each is a template and its scripts beside a module that inserts the numbers. `dom.js` is in both pages; `operations.js`,
`layout.js` and `graph.js` are the graph's, the other scripts the explorer's.
"""
