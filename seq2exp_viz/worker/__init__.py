"""Live model work: one long-lived process that has torch, and the jobs and questions that go to it."""
