"""The test suite: two real servers, and a clone of both databases for every test."""
