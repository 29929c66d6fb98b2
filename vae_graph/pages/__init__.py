"""HTML pages made from a checkpoint. Each is a template beside a module that inserts the numbers."""
