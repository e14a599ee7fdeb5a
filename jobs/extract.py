"""Scans to features: `ray job submit --working-dir . -- python jobs/extract.py --scans S --store U`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["extract", *sys.argv[1:]])
