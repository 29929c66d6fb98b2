"""Training on many machines, on TensorFlow 1's distributed runtime.

Parameter servers hold the variables; the chief and the workers, the replicas, each build the same graph, compute the
gradients of their shard of each batch and send them. The chief also writes the checkpoints and pictures.

`config` reads the cluster from `TF_CONFIG`, `health` checks that its tasks are reachable, `server` connects to it and
runs a parameter server, `replica_graph` and `replica` are a replica's graph and its Session loop, `local` starts a
cluster on this machine.
"""
