"""Live model work: one long-lived process that imports torch, and the jobs and questions sent to it."""
