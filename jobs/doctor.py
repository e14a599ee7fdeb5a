"""What is installed, what is missing, what Ray sees: the same as `gc-ray doctor`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["doctor", *sys.argv[1:]])
