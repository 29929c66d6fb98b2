"""HTML pages made from a checkpoint: `explorer` of its latent space, `graph` of its operations.

Each is a template and its scripts beside a module that inserts the numbers. `dom.js` is in both pages; `SCRIPTS` in
each module lists the others. The graph's session is `tensors.js`, `operations.js` and `session.js`; its program is
`program.py`, whose operations `lines.py` assigns to lines of code; its scenes are in `scenes.py`.
"""
