"""A folder of files as a store of secrets: how Kubernetes and Docker mount them."""
