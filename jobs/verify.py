"""Every byte and every join of a store compared: the same as `gc-ray verify`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["verify", *sys.argv[1:]])
