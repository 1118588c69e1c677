"""pandas: Arrow tables as pandas frames."""
