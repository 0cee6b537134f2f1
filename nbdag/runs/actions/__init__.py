"""Actions that a person takes on runs and deployments: clear, cancel, resume, deploy, backfill, pools, gc."""
