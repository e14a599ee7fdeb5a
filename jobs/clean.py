"""What nothing in a store names listed, and with --yes deleted: the same as `gc-ray clean`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["clean", *sys.argv[1:]])
