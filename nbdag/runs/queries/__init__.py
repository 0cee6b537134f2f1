"""Questions about runs, deployments, pools and this installation. They only read: no recovery, no notification."""
