"""Read-only queries about runs, deployments, pools and this installation.

A query does not recover runs, and sends no notifications.
"""
