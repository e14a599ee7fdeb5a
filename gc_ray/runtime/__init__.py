"""The only package that imports Ray: clusters, waves of scans, recovery."""
