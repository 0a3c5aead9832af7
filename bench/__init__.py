"""The benchmark, ``python3 bootstrap.py bench``: Headrace beside the floor and its peers, on instances made for it."""
