"""A paper's whole way on your cohort, beside the published numbers: the same as `gc-ray reproduce`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["reproduce", *sys.argv[1:]])
