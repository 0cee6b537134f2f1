"""Read-only queries about runs, deployments, pools and this installation.

They neither recover runs nor send notifications.
"""
