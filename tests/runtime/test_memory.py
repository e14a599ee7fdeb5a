"""Memory is estimated from headers, then from the region, and promised in classes."""

from gc_ray.runtime.memory import CLASSES, MB, class_of, classes_up_to, scan_bytes


def test_a_need_is_rounded_up_to_a_class_and_the_largest_takes_the_rest():
    """One dataset per class; nothing is promised that no node has."""
    classes = classes_up_to(6000 * MB)
    assert classes == [1024 * MB, 2048 * MB, 4096 * MB, 6000 * MB]
    assert class_of(1, classes) == 1024 * MB
    assert class_of(1025 * MB, classes) == 2048 * MB
    assert class_of(10**12, classes) == 6000 * MB
    assert classes_up_to(10**12)[:-1] == list(CLASSES)


def test_a_need_grows_with_the_volume_and_with_the_region():
    """A 512 x 512 x 300 series with an ordinary tumour fits 1.5 GB; a whole liver at 1 mm needs the 2 GB class."""
    series = 512 * 512 * 300 * 2
    assert scan_bytes(0) < scan_bytes(series) < scan_bytes(series, 65_000) < 1500 * MB
    assert class_of(scan_bytes(0, 1_040_000), classes_up_to(10**12)) == 2048 * MB
