"""CT volumes and masks: geometry, readers, resampling, intensity."""
