"""nbdag: the notebook is the DAG."""
