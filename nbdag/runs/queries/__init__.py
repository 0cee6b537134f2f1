"""Read-only queries about runs, deployments, pools and this installation, without recovery or notification."""
