"""Scores judged and a report written: the same as `gc-ray evaluate`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
