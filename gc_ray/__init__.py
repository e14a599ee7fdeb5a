"""CT outcome studies on Ray: scans and a clinical table in, features, signatures and reports out."""

__version__ = "0.1.0"
