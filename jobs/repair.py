"""What is damaged in a store rebuilt, or marked to be computed anew: the same as `gc-ray repair`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["repair", *sys.argv[1:]])
