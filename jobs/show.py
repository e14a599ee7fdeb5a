"""What is in a store, how complete it is and what failed: the same as `gc-ray show`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["show", *sys.argv[1:]])
