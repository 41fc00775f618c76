"""What must be there for a job to run on a cluster, asked of the cluster; nothing is changed."""
