"""The papers that are reproduced: what they show and the numbers they print, as facts with their place."""
