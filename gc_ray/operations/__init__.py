"""How a run is watched from outside: alerts, metrics and log lines for machines."""
