"""Images of environments, against Dockerfiles with the same packages."""
