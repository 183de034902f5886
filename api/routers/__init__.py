"""One file a resource: what can be asked over HTTP, and how an answer is made of events."""
