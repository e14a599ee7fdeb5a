"""Stores of several sites joined into one: the same as `gc-ray merge`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["merge", *sys.argv[1:]])
