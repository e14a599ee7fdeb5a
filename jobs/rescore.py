"""New scans scored by a bundle: the same as `gc-ray rescore`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["rescore", *sys.argv[1:]])
