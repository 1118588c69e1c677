"""Predict how long a taxi trip in New York will take, at the moment it starts."""
