"""Actions on runs and deployments: clear, cancel, resume, deploy, backfill, pools, gc, doctor."""
