"""A study's patients checked, divided and stored once: the same as `gc-ray split`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["split", *sys.argv[1:]])
