"""A simulated gastric cohort as real DICOM: the same as `gc-ray synth`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["synth", *sys.argv[1:]])
