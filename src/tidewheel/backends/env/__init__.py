"""Environment variables as a store of secrets: how containers and CI hand them over."""
