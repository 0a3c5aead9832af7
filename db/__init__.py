"""What an instance is: settings, roles, the sample operational database and the tables' metadata."""
