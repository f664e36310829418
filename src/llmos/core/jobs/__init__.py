"""Jobs: long work on the server, such as a download. Knows what a job's state is, not what any kind of job does."""
