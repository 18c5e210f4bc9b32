"""Where blocks of work are done: threads, processes of this machine, Dask's workers here or on others."""
