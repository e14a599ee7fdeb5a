"""From features to scores: networks, selection, signatures, harmonisation."""
