"""A signature frozen with all that scoring takes: the same as `gc-ray bundle`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["bundle", *sys.argv[1:]])
