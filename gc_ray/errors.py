"""The causes for which input is turned down: each message is one line that says what was wanted, what came,
whose it is and what to do.

Every class is a ``ValueError``: the input is at fault, not the program. Messages name files by their path relative
to the scan's folder or the manifest and never repeat a DICOM header value other than a UID or an ROI name.
"""


class ScanError(ValueError):
    """The CT cannot be used as it is: geometry, pixels or files."""


class MaskError(ValueError):
    """The region of interest cannot be used on this scan: missing, empty, off the grid or ambiguous."""


class TableError(ValueError):
    """A table does not have the columns, types, keys or values that its schema asks for."""


class LeakError(TableError):
    """An out-of-fold score was asked for a patient on whom the signature was fitted."""


class StudyError(ValueError):
    """A study file or a setting is unknown, of the wrong type or contradicts another."""


class BundleError(ValueError):
    """A frozen model's parts are missing, changed or of another schema."""


class StoreError(ValueError):
    """The store cannot be read or written: address, rights, space or a conflicting object."""


class ClusterError(ValueError):
    """The Ray cluster that was named cannot be reached, or this machine cannot start one."""
