"""The storage: where hosts without a common folder exchange values, notebooks, logs and reports.

`NBDAG_STORAGE` (or `--storage`) names one of these:

- a folder that every host sees at the same path: files are written there directly, and this package is not used;
- an fsspec URL, such as `s3://bucket/nbdag`. Files are then written to a folder of the host and copied to the storage,
  under the same relative names (`values/ab/abcdef…`, `runs/DAG/RUN/tasks/TASK/1.ipynb`).

`remote` copies single files from and to a URL, with retries; `host_cache` defines the folders of this host; `folders`
copies a notebook's folder; `owners` records who writes into a storage. `nbdag.values.transfer` moves values, and
`nbdag.executors.job_files` moves the files of one attempt. To execute an attempt on a host that has neither the
database nor the home's folders:

    job = job_files.on_this_host(job)   # the same job, with paths of this host's cache
    executor = LocalExecutor(1)         # gets the job's inputs from the storage, and stores its results there
    executor.start(on_result)
    executor.submit(job)

`Job.storage` is the URL, or "" if all hosts share the folders. The URL contains no password: fsspec reads credentials
from each host's environment or configuration files (`AWS_ACCESS_KEY_ID`, `FSSPEC_SFTP_PASSWORD`, `~/.aws`).
"""

from ..home import StoragePasswordError
from .host_cache import cache_root, local_copy, upload_copy
from .remote import MissingPackageError, Remote, StorageError, StoredFile, UnwritableStorageError, files_at

__all__ = [
    "MissingPackageError",
    "Remote",
    "StorageError",
    "StoragePasswordError",
    "StoredFile",
    "UnwritableStorageError",
    "cache_root",
    "files_at",
    "local_copy",
    "upload_copy",
]
