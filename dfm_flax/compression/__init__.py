"""Parts of the task of compression."""
